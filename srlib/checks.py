"""What the exercises call. Each check says in words what is wrong, within seconds, without a network.

A check prints "Correct." or "Not yet: ..." and never raises, so that a chapter runs to its end with
unsolved exercises. `check.verify` is the same check without the printing: it raises `Wrong`.
"""

import functools

import numpy as np


class Wrong(AssertionError):
    """An answer that is not right yet; the message says why."""


def exercise(check):
    """Turn a function that raises `Wrong` into a check that prints its verdict."""

    @functools.wraps(check)
    def tell(answer):
        try:
            check(answer)
        except Wrong as fault:
            print(f"Not yet: {fault}")
        except Exception as error:  # the learner's own code failed
            print(f"Not yet: your code raised {type(error).__name__}: {error}")
        else:
            print("Correct.")

    tell.verify = check
    return tell


def require(condition, message):
    """Raise `Wrong` with `message` unless `condition` holds."""
    if not condition:
        raise Wrong(message)


def require_array(value, shape, name="the result"):
    """`value` as a NumPy array of `shape`, or `Wrong` that says what it is instead."""
    require(value is not None and value is not Ellipsis, f"{name} is {value}; replace the dots with your code and return something")
    value = np.asarray(value)
    require(value.shape == tuple(shape), f"{name} has shape {value.shape}; expected {tuple(shape)}")
    require(np.all(np.isfinite(value)), f"{name} contains NaN or infinity")
    return value
