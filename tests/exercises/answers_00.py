"""Answers to the exercises of chapter 00: (check, answer, what the verdict holds)."""

import decimal
import fractions

import numpy as np

from srlib import data


def blend_in_place(first, second, amount):
    first *= 1 - amount
    first += amount * second
    return first


def compared(hr, network, shrink=data.degrade, levels=255):
    lr = data.degrade(hr)
    return levels * np.abs(lr - shrink(network(lr))).mean(axis=(1, 2, 3))


def ties_up(hr):
    height, width = hr.shape[1:3]
    levels = 255 * np.clip(data.resize(hr, (height // 4, width // 4)), 0, 1)
    return np.floor(levels + 0.5) / 255


ANSWERS = [
    ("c00.share_lost", lambda factor: 1 - fractions.Fraction(1, factor**2), "Correct."),
    ("c00.share_lost", lambda factor: 1 - decimal.Decimal(factor) ** -2, "Correct."),
    ("c00.share_lost", lambda factor: 1 / factor**2, "kept"),
    ("c00.share_lost", lambda factor: 1 - 1 / factor, "counts twice"),
    ("c00.share_lost", lambda factor: 1 - 0.5**factor, "but with factor 3 the result is 0.875; expected 0.8888889"),
    ("c00.blend", lambda first, second, amount: first + amount * (second - first), "Correct."),
    ("c00.blend", lambda first, second, amount: np.average([first, second], 0, [1 - amount, amount]), "Correct."),
    ("c00.blend", lambda first, second, amount: amount * first + (1 - amount) * second, "exchanged"),
    ("c00.blend", lambda first, second, amount: np.mean([first, second], axis=0), "use `amount`"),
    ("c00.blend", lambda first, second, amount: first + amount * second, "whole first one"),
    ("c00.blend", lambda first, second, amount: (1 - amount) * first + amount * second.mean(), "pixel by pixel"),
    ("c00.blend", lambda first, second, amount: (1 - amount or 1) * first + amount * second, "whole first one"),
    ("c00.blend", blend_in_place, "changed its input"),
    ("c00.contradiction", compared, "Correct."),
    ("c00.contradiction", lambda hr, network: compared(hr, network, ties_up), "Correct."),
    ("c00.contradiction", lambda hr, network: [compared(image[None], network)[0] for image in hr], "Correct."),
    ("c00.contradiction", lambda hr, network: compared(hr, network, levels=1), "8-bit levels"),
    ("c00.contradiction", lambda hr, network: compared(hr, network).mean(), "one number for each"),
    ("c00.contradiction", lambda hr, network: compared(hr, network, lambda sr: sr[:, ::4, ::4]), "every fourth"),
    ("c00.contradiction", lambda hr, network: compared(hr, data.upscale), "does not depend on `network`"),
    ("c00.contradiction", lambda hr, network: [np.abs(network(data.degrade(hr)) - hr).mean() * 255], "shape"),
]
