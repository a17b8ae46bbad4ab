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


def tinted(lr):
    """A network that contradicts its input: bicubic with a tint."""
    return data.quantise(data.upscale(lr) + np.float32([0.05, 0, -0.1]))


@exercise
def contradiction(answer):
    """contradiction(hr, network) -> for each image, how far its result is from its input when it is shrunk again."""
    hr = data.to_float(photos.portraits())[:, :, :96]  # 128x96: hides no exchanged sides

    def gap(hr, network, again=data.degrade, size=np.abs, axis=(1, 2, 3), scale=255):
        lr = data.degrade(hr)
        return scale * size(again(network(lr)) - lr).mean(axis=axis)

    cancel = "positive and negative differences cancel: take the absolute value before the mean"
    grade(
        answer,
        gap,
        [
            (
                lambda hr, net: gap(hr, net, scale=1),
                "right, but on the scale from 0 to 1; in 8-bit levels it is 255 times as much",
            ),
            (lambda hr, net: gap(hr, net, axis=None), "that is one mean over all images; return one number for each"),
            (
                lambda hr, net: gap(hr, net, axis=0),
                "that is a mean over the images; take it over height, width, colours",
            ),
            (lambda hr, net: gap(hr, net, size=lambda x: x), cancel),
            (lambda hr, net: -gap(hr, net, size=lambda x: x), cancel),
            (
                lambda hr, net: 255 * np.abs((data.degrade(net(data.degrade(hr))) - data.degrade(hr)).mean((1, 2, 3))),
                cancel,
            ),
            (
                lambda hr, net: 255 * np.sqrt(gap(hr, net, size=np.square, scale=1)),
                "that is the root of the mean square; the mean of the absolute values was asked for",
            ),
            (
                lambda hr, net: 255 * np.abs(net(data.degrade(hr)) - hr).mean((1, 2, 3)),
                "you compared with the originals; shrink the result again, and compare it with the LR images",
            ),
            (
                lambda hr, net: gap(hr, data.upscale),
                "your answer does not depend on `network`: call it with the LR images",
            ),
            (
                lambda hr, net: gap(hr, net, again=lambda sr: sr[:, ::4, ::4]),
                "you picked every fourth pixel; that is another degradation. Use data.degrade",
            ),
        ],
        (hr, tinted),
        (hr, lambda lr: data.upscale(lr, "nearest")),
        near=lambda value, right: near(value, right, atol=0.01),
        hint="shrink, enlarge by the network, shrink again, then subtract the first LR images",
    )
