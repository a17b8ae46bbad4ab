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
        "wrong": [(to_uint8_truncated, "cuts the fraction off"), (to_uint8_unclipped, "clip them first"), (to_uint8_256, "multiply by 255"), (to_uint8_256_cut, "not by 256")],
    },
    "c01_psnr": {
        "solution": psnr,
        "stub": stub,
        "wrong": [(psnr_peak_255, "the peak is 1 and not 255"), (psnr_root, "square root of the MSE"), (psnr_sign, "sign is wrong")],
    },
    "c01_degrade2": {
        "solution": degrade2,
        "stub": stub,
        "wrong": [(degrade2_aliased, "antialias is off"), (degrade2_unrounded, "not rounded"), (degrade4, "factor 4")],
    },
    "c01_split": {
        "solution": split,
        "stub": stub,
        "wrong": [(split_photos, "shuffle and cut the people"), (split_masks, "masks"), (split_in_order, "the seed changes nothing")],
    },
}
