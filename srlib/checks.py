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


# --- 00 quickstart ---------------------------------------------------------------------------------


@exercise
def c00_share_lost(share_lost):
    """share_lost(factor) -> the share of numbers lost when both sides shrink by factor."""
    value = float(require_array(share_lost(4), ()))
    require(not np.isclose(value, 1 / 16), "that is the share that is kept; how much is lost?")
    require(not np.isclose(value, 3 / 4), "both sides shrink: height and width, so the factor counts twice")
    require(np.isclose(value, 15 / 16), f"for factor 4 you return {value:.4g}; expected 15 of 16 numbers, {15 / 16:.4g}")
    require(np.isclose(float(share_lost(2)), 3 / 4), f"right for factor 4, but for factor 2 you return {float(share_lost(2)):.4g}")


@exercise
def c00_blend(blend):
    """blend(first, second, amount) -> the mixture of two images; 0 gives the first."""
    first, second = np.zeros((2, 2, 3), "float32"), np.ones((2, 2, 3), "float32")
    value = require_array(blend(first, second, 0.25), first.shape)
    require(not np.allclose(value, 0.75), "the two are exchanged: amount 0 must give the first image")
    require(not np.allclose(value, 0.5), "you return the plain mean; use `amount`")
    require(np.allclose(value, 0.25), "a quarter of the way from black to white must be 0.25 everywhere: (1 - amount) first + amount second")


@exercise
def c00_contradiction(contradiction):
    """contradiction(lr, sr) -> mean absolute difference in 8-bit levels after shrinking sr again."""
    from . import data

    hr = data.to_float(data.portraits()[0])
    lr = data.degrade(hr)
    sr = data.upscale(lr)
    expected = float(np.abs(data.degrade(sr) - lr).mean() * 255)
    value = float(require_array(contradiction(lr, sr), ()))
    require(not np.isclose(value, expected / 255), "right, but on the scale from 0 to 1; in 8-bit levels it is 255 times as much")
    require(value >= 0 and value > 1e-6, "positive and negative differences cancel: take the absolute value before the mean")
    root = float(np.sqrt(np.mean((data.degrade(sr) - lr) ** 2)) * 255)
    require(not np.isclose(value, root), "that is the root of the mean square; the mean of the absolute values was asked for")
    require(np.isclose(value, expected, rtol=1e-3), f"you return {value:.3g} levels; expected {expected:.3g}: shrink sr with data.degrade, subtract lr")
