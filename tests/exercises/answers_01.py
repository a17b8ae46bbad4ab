"""Answers to the exercises of chapter 01: (check, answer, what the verdict holds)."""

import numpy as np

from srlib import data


def rounded(images, tie):
    """Bytes, where `tie` rounds an array of levels."""
    return tie(np.clip(np.asarray(images, "float64"), 0, 1) * 255).astype("uint8")


def to_uint8_in_place(images):
    np.clip(images, 0, 1, out=images)
    return np.rint(images * 255).astype("uint8")


def half(hr, antialias=True):
    return data.resize(hr, (hr.shape[-3] // 2, hr.shape[-2] // 2), antialias=antialias)


def split(people, seed, names=np.unique, rest=True, mask=False):
    """The solution with a fault: other `names`, the `rest` left out, masks instead of positions."""
    names = np.random.default_rng(seed).permutation(names(people))
    tenth = len(names) // 10
    first = names[: -2 * tenth] if rest else names[: 8 * tenth]
    masks = [np.isin(people, group) for group in (first, names[-2 * tenth : -tenth], names[-tenth:])]
    return masks if mask else [np.flatnonzero(mask) for mask in masks]


def split_by_lot(people, seed):
    names, rng = np.unique(people), np.random.default_rng(seed)
    lot = rng.random(len(names))[np.searchsorted(names, people)]
    return [np.flatnonzero(part) for part in (lot < 0.8, (lot >= 0.8) & (lot < 0.9), lot >= 0.9)]


def split_photos(people, seed, values=None):
    order = np.random.default_rng(seed).permutation(np.arange(len(people)) if values is None else values)
    return np.split(order, [len(order) * 8 // 10, len(order) * 9 // 10])


ANSWERS = [
    ("c01.to_uint8", lambda images: rounded(images, lambda x: np.ceil(x - 0.5)), "Correct."),
    ("c01.to_uint8", lambda images: rounded(images, lambda x: np.floor(x + 0.5)), "Correct."),
    ("c01.to_uint8", lambda images: rounded(images, np.round), "Correct."),
    ("c01.to_uint8", lambda images: (np.clip(images, 0, 1) * 255).astype("uint8"), "cuts the fraction off"),
    ("c01.to_uint8", lambda images: np.rint(images * 255).astype("int64").astype("uint8"), "you clip"),
    ("c01.to_uint8", lambda images: np.rint(np.clip(images, 0, 1) * 256).astype("int64").astype("uint8"), "by 255"),
    ("c01.to_uint8", lambda images: np.minimum(np.clip(images, 0, 1) * 256, 255).astype("uint8"), "not by 256"),
    ("c01.to_uint8", lambda x: np.rint((x - x.min()) / np.ptp(x) * 255).astype("uint8"), "do not stretch"),
    ("c01.to_uint8", lambda images: rounded(images, np.rint).astype("int64"), "dtype is int64"),
    ("c01.to_uint8", lambda images: rounded(images, np.rint).ravel(), "expected (1, 3)"),
    ("c01.to_uint8", to_uint8_in_place, "changed its input"),
    ("c01.psnr", lambda x, y: -20 * np.log10(np.sqrt(np.mean((x.astype("float64") - y) ** 2))), "Correct."),
    ("c01.psnr", lambda x, y: 20 * np.log10(255) - 10 * np.log10(np.mean((255 * x - 255 * y) ** 2)), "Correct."),
    ("c01.psnr", lambda x, y: 10 * np.log10(255**2 / np.mean((x - y) ** 2)), "the peak is 1 and not 255"),
    ("c01.psnr", lambda x, y: 10 * np.log10(1 / np.sqrt(np.mean((x - y) ** 2))), "square root of the MSE"),
    ("c01.psnr", lambda x, y: 10 * np.log10(np.mean((x - y) ** 2)), "sign is wrong"),
    ("c01.psnr", lambda x, y: round(float(-10 * np.log10(np.mean((x - y) ** 2))), 2), "not rounded"),
    ("c01.psnr", lambda x, y: 10 * np.log10(1 / np.var(x - y)), "the mean over all pixels"),
    ("c01.psnr", lambda x, y: f"{-10 * np.log10(np.mean((x - y) ** 2)):.2f} dB", "no text"),
    ("c01.degrade2", lambda hr: np.floor(255 * np.clip(half(hr), 0, 1) + 0.5) / 255, "Correct."),
    ("c01.degrade2", lambda hr: np.ceil(255 * np.clip(half(hr), 0, 1) - 0.5) / 255, "Correct."),
    ("c01.degrade2", lambda hr: data.to_float(data.to_uint8(half(hr))), "Correct."),
    ("c01.degrade2", lambda hr: data.quantise(half(hr, antialias=False)), "antialias is off"),
    ("c01.degrade2", half, "not rounded"),
    ("c01.degrade2", lambda hr: np.clip(half(hr), 0, 1), "clipped, but not rounded"),
    ("c01.degrade2", data.degrade, "factor 4"),
    ("c01.degrade2", lambda hr: np.rint(half(hr) * 255) / 255, "not clipped"),
    ("c01.degrade2", lambda hr: data.to_uint8(half(hr)), "not 8-bit levels"),
    ("c01.degrade2", lambda hr: data.quantise(data.resize(hr, (64, 64))), "expected (64, 48, 3)"),
    ("c01.split", split_by_lot, "Correct."),
    ("c01.split", lambda people, seed: tuple(part.tolist() for part in split(people, seed)), "Correct."),
    ("c01.split", split_photos, "shuffle and cut the people"),
    ("c01.split", lambda people, seed: split(people, seed, mask=True), "masks"),
    ("c01.split", lambda people, seed: split(people, 0), "the seed changes nothing"),
    ("c01.split", lambda people, seed: split(people, None), "same seed differ"),
    ("c01.split", lambda people, seed: split(people, seed, rest=False), "in no part"),
    ("c01.split", lambda people, seed: split_photos(people, seed, np.unique(people)), "numbers of people"),
    ("c01.split", lambda people, seed: [part - len(people) for part in split(people, seed)], "counted from 0"),
    ("c01.split", lambda people, seed: split(people, seed)[::-1], "training first"),
    ("c01.split", lambda people, seed: [part[:, None] for part in split(people, seed)], "one-dimensional"),
    ("c01.split", lambda people, seed: [np.repeat(part, 2) for part in split(people, seed)], "twice in one"),
    ("c01.split", lambda people, seed: split(people, seed)[:2], "training, validation and test"),
]
