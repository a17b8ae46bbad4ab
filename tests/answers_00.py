"""Solutions, stubs and typical wrong answers of chapter 00."""

import numpy as np

from srlib import data


def blend_in_place(first, second, amount):
    first *= 1 - amount
    first += amount * second
    return first


ANSWERS = {
    "c00_share_lost": {
        "solution": lambda factor: 1 - 1 / factor**2,
        "stub": lambda factor: ...,
        "wrong": [(lambda factor: 1 / factor**2, "kept"), (lambda factor: 1 - 1 / factor, "counts twice"), (lambda factor: 1 - 0.5**factor, "factor 3")],
    },
    "c00_blend": {
        "solution": lambda first, second, amount: (1 - amount) * first + amount * second,
        "stub": lambda first, second, amount: ...,
        "wrong": [
            (lambda first, second, amount: amount * first + (1 - amount) * second, "exchanged"),
            (lambda first, second, amount: (first + second) / 2, "use `amount`"),
            (lambda first, second, amount: first + amount * second, "whole first one"),
            (lambda first, second, amount: amount * second, "0.3 everywhere"),
            (lambda first, second, amount: (1 - amount) * first + amount * second.mean(), "wrong for coloured ones with amount 0.6"),
            (lambda first, second, amount: (1 - amount or 1) * first + amount * second, "amount 1 must give the second"),
            (blend_in_place, "changed its input"),
        ],
    },
    "c00_contradiction": {
        "solution": lambda lr, sr: np.abs(data.degrade(sr) - lr).mean() * 255,
        "right": [lambda lr, sr: 255 * np.abs(lr - data.degrade(data.quantise(sr))).mean()],
        "stub": lambda lr, sr: ...,
        "wrong": [
            (lambda lr, sr: np.abs(data.degrade(sr) - lr).mean(), "8-bit levels"),
            (lambda lr, sr: np.sqrt(((data.degrade(sr) - lr) ** 2).mean()) * 255, "mean square"),
            (lambda lr, sr: np.abs(data.degrade(data.upscale(lr)) - lr).mean() * 255, "does not depend on `sr`"),
            (lambda lr, sr: np.abs((data.degrade(sr) - lr).mean()) * 255, "cancel"),
            (lambda lr, sr: np.abs(sr[::4, ::4] - lr).mean() * 255, "every fourth pixel"),
        ],
    },
}
