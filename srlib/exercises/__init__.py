"""What the exercises of the chapters call: checks that print `c01.split: Correct.` or `c01.split: Not yet: ...`.

A module per chapter, `c00` to `c06`, holds its checks in the order of the exercises. A check takes the learner's
answer, a function, and compares it with the right function and with those of typical mistakes, on some inputs
(`grade`). It judges values: a Python number, a `Fraction`, a NumPy array and a tensor are alike.
"""

import copy
import functools
import importlib
import inspect
import reprlib

import numpy as np

from .. import runtime


class Wrong(AssertionError):
    """An answer that is not right yet; the message says why."""


def names(chapter):
    """The names of a chapter's checks in the order of its module: `names("c01")` is `["c01.author_lr", ...]`.

    Raises `ImportError` for a chapter without checks.
    """
    return [
        f"{chapter}.{name}"
        for name, value in vars(importlib.import_module(f".{chapter}", __name__)).items()
        if hasattr(value, "verify")
    ]


def exercise(check):
    """Turn a function that raises `Wrong` into a check that prints its name and its verdict, on one line.

    `check.verify(answer)` prints nothing and raises: `Wrong`, or what the learner's own code raises.
    """

    def verify(answer):
        check(guarded(answer))

    @functools.wraps(check)
    def tell(answer):
        try:
            verify(answer)
            verdict = "Correct."
        except Wrong as fault:
            verdict = f"Not yet: {fault}"
        except Exception as error:  # the learner's own code failed
            verdict = f"Not yet: your code raised {type(error).__name__}: {error}"
        runtime.say(f"{check.__module__[-3:]}.{check.__name__}: {' '.join(verdict.split())}")

    tell.verify = verify
    return tell


def guarded(answer):
    """`answer`, as a function that may not change the arrays, lists and dicts it is given."""

    def call(*given):
        before = copy.deepcopy([part if isinstance(part, (np.ndarray, list, dict)) else None for part in given])
        value = answer(*given)
        require(
            all(old is None or np.array_equal(old, new) for old, new in zip(before, given)),
            "your function changed its input; make a new array or list, without *=, out=, .sort() or .pop()",
        )
        return value

    return call


def require(condition, message):
    """Raise `Wrong` with `message` unless `condition` holds."""
    if not condition:
        raise Wrong(message)


def numbers(value, shape=None, name="the result"):
    """Numbers of any type as a NumPy array, of `shape` if one is given; `Wrong` says what `value` is instead."""
    try:
        array = np.asarray(value)
        array = np.vectorize(float)(array) if array.dtype.kind in "OV" else array  # Fractions, bfloat16
    except (TypeError, ValueError):
        array = np.asarray("no numbers")
    require(
        array.dtype.kind in "biuf",
        f"{name} is {reprlib.repr(value)}; return numbers (replace the dots; no text, no pair inside a pair)",
    )
    require(shape in (None, array.shape), f"{name} has shape {array.shape}; expected {shape}")
    return array


def near(value, right, rtol=1e-5, atol=1e-6):
    """Equal up to float32's rounding; NaN equals NaN."""
    return value.shape == np.shape(right) and np.allclose(value, right, rtol, atol, equal_nan=True)


def mostly(value, right):
    """Equal images, but for a few pixels: a level half-way between two bytes may be rounded either way."""
    return value.shape == np.shape(right) and np.mean(~np.isclose(value, right, 1e-3, 1e-4)) < 0.01


def grade(answer, right, mistakes, *cases, near=near, name="the result", hint="look again"):
    """Compare `answer` with `right` on every case and, where they differ, with every mistake; raises `Wrong`.

    right: the solution, a function. mistakes: pairs of a function that is wrong in a typical way and the sentence that
    its author needs. cases: tuples of arguments. near: what counts as equal. name: of what is returned. hint: the
    sentence about any other mistake.
    """
    for index, case in enumerate(cases):
        value, expected = numbers(answer(*case), name=name), np.asarray(right(*case))
        if not near(value, expected):
            with np.errstate(all="ignore"):
                sentences = [words for wrong, words in mistakes if near(value, np.asarray(wrong(*case)))]
            given = zip(inspect.signature(right).parameters, case)
            few = ", ".join(f"{key} {show(part)}" for key, part in given if np.size(part) <= 12 and not callable(part))
            start = "right for the first inputs, but " * (index > 0) + f"with {few} " * bool(few)
            raise Wrong(f"{[*sentences, hint][0]} ({start}{difference(name, value, expected)})")


def difference(name, value, expected):
    """What distinguishes two arrays, in words: their shapes, their few numbers, or one of many."""
    if value.shape != expected.shape:
        return f"{name} has shape {value.shape}; expected {expected.shape}"
    if value.size > 12:
        place = np.unravel_index(np.argmax(np.abs(value - expected)), value.shape)
        name, value, expected = f"{name}[{', '.join(map(str, place))}]", value[place], expected[place]
    return f"{name} is {show(value)}; expected {show(expected)}"


def show(value):
    """Numbers with up to seven digits."""
    return np.array2string(np.asarray(value), separator=", ", formatter={"all": "{:.7g}".format})
