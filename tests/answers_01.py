"""Answers for the exercises of 01: the solution, the stub, two or more typical mistakes with a part of the expected message."""

import numpy as np

from srlib import data


def stub(*arguments):
    ...


def to_uint8(images):
    return np.rint(np.clip(images, 0, 1) * 255).astype("uint8")


def to_uint8_truncated(images):
    return (np.clip(images, 0, 1) * 255).astype("uint8")


def to_uint8_unclipped(images):
    return np.rint(np.asarray(images) * 255).astype("int64").astype("uint8")


def to_uint8_256(images):
    return np.rint(np.clip(images, 0, 1) * 256).astype("int64").astype("uint8")


def to_uint8_256_cut(images):
    return np.minimum(np.clip(images, 0, 1) * 256, 255).astype("uint8")


def to_uint8_in_place(images):
    np.clip(images, 0, 1, out=images)
    return np.rint(images * 255).astype("uint8")


def to_uint8_stretched(images):
    return np.rint((images - images.min()) / (images.max() - images.min()) * 255).astype("uint8")


def psnr(reference, result):
    return 10 * np.log10(1 / np.mean((reference - result) ** 2))


def psnr_peak_255(reference, result):
    return 10 * np.log10(255**2 / np.mean((reference - result) ** 2))


def psnr_root(reference, result):
    return 10 * np.log10(1 / np.sqrt(np.mean((reference - result) ** 2)))


def psnr_sign(reference, result):
    return 10 * np.log10(np.mean((reference - result) ** 2))


def degrade2(hr):
    height, width = hr.shape[-3:-1]
    return data.quantise(data.resize(hr, (height // 2, width // 2)))


def degrade2_aliased(hr):
    height, width = hr.shape[-3:-1]
    return data.quantise(data.resize(hr, (height // 2, width // 2), antialias=False))


def degrade2_unrounded(hr):
    height, width = hr.shape[-3:-1]
    return data.resize(hr, (height // 2, width // 2))


def degrade4(hr):
    return data.degrade(hr)


def split(people, seed):
    names = np.random.default_rng(seed).permutation(np.unique(people))
    tenth = len(names) // 10
    return [np.flatnonzero(np.isin(people, group)) for group in (names[: -2 * tenth], names[-2 * tenth : -tenth], names[-tenth:])]


def split_photos(people, seed):
    order = np.random.default_rng(seed).permutation(len(people))
    tenth = len(order) // 10
    return order[: -2 * tenth], order[-2 * tenth : -tenth], order[-tenth:]


def split_dropping_the_rest(people, seed):
    names = np.random.default_rng(seed).permutation(np.unique(people))
    large, small = int(0.8 * len(names)), int(0.1 * len(names))
    parts = names[:large], names[large : large + small], names[large + small : large + 2 * small]
    return [np.flatnonzero(np.isin(people, part)) for part in parts]


def split_by_lot(people, seed):
    names, rng = np.unique(people), np.random.default_rng(seed)
    lot = rng.random(len(names))
    parts = names[lot < 0.8], names[(lot >= 0.8) & (lot < 0.9)], names[lot >= 0.9]
    return [np.flatnonzero(np.isin(people, part)) for part in parts]


def split_people(people, seed):
    names = np.random.default_rng(seed).permutation(np.unique(people))
    tenth = len(names) // 10
    return names[: -2 * tenth], names[-2 * tenth : -tenth], names[-tenth:]


def split_masks(people, seed):
    return [np.isin(people, people[part]) for part in split(people, seed)]


def split_in_order(people, seed):
    names = np.unique(people)
    tenth = len(names) // 10
    return [np.flatnonzero(np.isin(people, group)) for group in (names[: -2 * tenth], names[-2 * tenth : -tenth], names[-tenth:])]


ANSWERS = {
    "c01_to_uint8": {
        "solution": to_uint8,
        "stub": stub,
        "wrong": [(to_uint8_truncated, "cuts the fraction off"), (to_uint8_unclipped, "clip them first"), (to_uint8_256, "multiply by 255"), (to_uint8_256_cut, "not by 256"), (to_uint8_stretched, "do not stretch"), (to_uint8_in_place, "changed its input"), (lambda images: to_uint8(images).ravel(), "(1, 3)")],
    },
    "c01_psnr": {
        "solution": psnr,
        "stub": stub,
        "wrong": [(psnr_peak_255, "the peak is 1 and not 255"), (psnr_root, "square root of the MSE"), (psnr_sign, "sign is wrong"), (lambda a, b: round(float(psnr(a, b)), 2), "not rounded"), (lambda a, b: 10 * np.log10(1 / np.var(a - b)), "the mean over all pixels"), (lambda a, b: f"{psnr(a, b):.2f} dB", "expected numbers")],
    },
    "c01_degrade2": {
        "solution": degrade2,
        "stub": stub,
        "wrong": [(degrade2_aliased, "antialias is off"), (degrade2_unrounded, "not rounded"), (degrade4, "factor 4"), (lambda hr: np.rint(degrade2_unrounded(hr) * 255) / 255, "not clipped")],
    },
    "c01_split": {
        "solution": split,
        "right": [split_by_lot],
        "stub": stub,
        "wrong": [(split_photos, "shuffle and cut the people"), (split_masks, "masks"), (split_in_order, "the seed changes nothing"), (split_dropping_the_rest, "in no part"), (split_people, "numbers of people")],
    },
}
