"""Answers to the exercises of chapter 00: (check, answer, what the verdict holds)."""

import decimal
import fractions

import numpy as np

from srlib import data


def blend_in_place(first, second, amount):
    first *= 1 - amount
    first += amount * second
    return first


def degrade_ties_up(hr):
    height, width = hr.shape[:2]
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
    ("c00.contradiction", lambda lr, sr: 255 * np.abs(lr - data.degrade(data.quantise(sr))).mean(), "Correct."),
    ("c00.contradiction", lambda lr, sr: 255 * np.abs(lr - degrade_ties_up(sr)).mean(), "Correct."),
    ("c00.contradiction", lambda lr, sr: np.mean(np.abs(data.degrade(sr) - lr)), "8-bit levels"),
    ("c00.contradiction", lambda lr, sr: np.std(data.degrade(sr) - lr) * 255, "subtract lr"),
    ("c00.contradiction", lambda lr, sr: np.abs((data.degrade(sr) - lr).mean()) * 255, "cancel"),
    ("c00.contradiction", lambda lr, sr: np.abs(data.to_uint8(data.degrade(sr)) - data.to_uint8(lr)).mean(), "wraps"),
]
