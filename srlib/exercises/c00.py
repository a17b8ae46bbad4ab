"""Checks of chapter 00, quickstart."""

import numpy as np

from .. import data, photos
from . import exercise, grade, near


@exercise
def share_lost(answer):
    """share_lost(factor) -> the share of numbers lost when both sides shrink by factor."""
    grade(
        answer,
        lambda factor: 1 - 1 / factor**2,
        [
            (lambda f: 1 / f**2, "that is the share that is kept; how much is lost?"),
            (lambda f: 1 - 1 / f, "both sides shrink: height and width, so the factor counts twice"),
        ],
        *[(4,), (2,), (3,)],  # 4 and 2 alone cannot tell a square from a power of two
    )


@exercise
def blend(answer):
    """blend(first, second, amount) -> the mixture of two images; 0 gives the first."""
    first, second = np.random.default_rng(0).random((2, 2, 5, 3)).astype("float32")
    grade(
        answer,
        lambda first, second, amount: (1 - amount) * first + amount * second,
        [
            (lambda a, b, t: t * a + (1 - t) * b, "the two are exchanged: amount 0 must give the first image"),
            (lambda a, b, t: (a + b) / 2, "you return the plain mean; use `amount`"),
            (
                lambda a, b, t: a + t * b,
                "the second image is added to the whole first one: both shares must add up to one",
            ),
        ],
        *[(first, second, amount) for amount in (0.25, 1, 0, 0.6)],
        hint="mix pixel by pixel and channel by channel, for every amount from 0 to 1",
    )


@exercise
def contradiction(answer):
    """contradiction(lr, sr) -> mean absolute difference in 8-bit levels after shrinking sr again."""
    hr = data.to_float(photos.portraits()[0])[:, :96]  # 128x96: hides no exchanged sides
    lr = data.degrade(hr)
    sr = data.quantise(data.upscale(lr) + np.float32([0.05, 0, -0.1]))  # a tint: `sr` is not what `lr` alone would give
    cancel = "positive and negative differences cancel: take the absolute value before the mean"
    grade(
        answer,
        lambda lr, sr: 255 * np.abs(data.degrade(sr) - lr).mean(),
        [
            (
                lambda lr, sr: np.abs(data.degrade(sr) - lr).mean(),
                "right, but on the scale from 0 to 1; in 8-bit levels it is 255 times as much",
            ),
            (lambda lr, sr: 255 * (data.degrade(sr) - lr).mean(), cancel),
            (lambda lr, sr: 255 * (lr - data.degrade(sr)).mean(), cancel),
            (lambda lr, sr: 255 * np.abs((data.degrade(sr) - lr).mean(axis=-1)).mean(), cancel),
            (
                lambda lr, sr: 255 * np.sqrt(np.mean((data.degrade(sr) - lr) ** 2)),
                "that is the root of the mean square; the mean of the absolute values was asked for",
            ),
            (
                lambda lr, sr: 255 * np.abs(data.degrade(data.upscale(lr)) - lr).mean(),
                "your answer does not depend on `sr`: shrink the given result, not one of your own",
            ),
            (
                lambda lr, sr: 255 * np.abs(data.upscale(lr) - sr).mean(),
                "you enlarged lr; shrink sr instead, and compare at the small size",
            ),
            (
                lambda lr, sr: 255 * np.abs(sr[::4, ::4] - lr).mean(),
                "you picked every fourth pixel; that is another degradation. Use data.degrade",
            ),
            (
                lambda lr, sr: np.abs(data.to_uint8(data.degrade(sr)) - data.to_uint8(lr)).mean(),
                "uint8 wraps around: 3 - 5 is 254. Subtract floats",
            ),
        ],
        (lr, sr),
        near=lambda value, right: near(value, right, atol=0.01),
        hint="shrink sr with data.degrade, then subtract lr",
    )
