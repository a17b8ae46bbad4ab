"""Answers for chapter 05: the solution, the stub, and typical mistakes with a fragment of what they are told."""

import numpy as np

from srlib import data, metrics


def stub(*arguments): ...


def psnr_solution(reference, result, shave):
    height, width = reference.shape[:2]
    inner = np.s_[shave : height - shave, shave : width - shave]
    error = reference[inner].astype("float64") - result[inner].astype("float64")
    return 10 * np.log10(255**2 / np.mean(error**2))


def psnr_wraps(reference, result, shave):
    height, width = reference.shape[:2]
    inner = np.s_[shave : height - shave, shave : width - shave]
    return 10 * np.log10(255**2 / np.mean((reference[inner] - result[inner]) ** 2))


def psnr_with_peak_one(reference, result, shave):
    return psnr_solution(reference, result, shave) - 20 * np.log10(255)


def psnr_with_empty_slice(reference, result, shave):
    error = reference[shave:-shave, shave:-shave].astype(float) - result[shave:-shave, shave:-shave]
    return 10 * np.log10(255**2 / np.mean(error**2)) if error.size else np.nan


def psnr_of_one_corner(reference, result, shave):
    error = reference[shave:, shave:].astype(float) - result[shave:, shave:]
    return 10 * np.log10(255**2 / np.mean(error**2))


def psnr_with_peak_of_the_image(reference, result, shave):
    return psnr_solution(reference, result, shave) + 20 * np.log10(reference.max() / 255)


def consistency_solution(lr, sr):
    return 255 * np.abs(lr - data.degrade(sr)).mean(axis=-1)


def consistency_without_antialias(lr, sr):
    small = data.quantise(data.resize(sr, lr.shape[1:3], antialias=False))
    return 255 * np.abs(lr - small).mean(axis=-1)


def consistency_in_unit_range(lr, sr):
    return np.abs(lr - data.degrade(sr)).mean(axis=-1)


def consistency_with_channels(lr, sr):
    return 255 * np.abs(lr - data.degrade(sr))


def consistency_that_cancels(lr, sr):
    return 255 * (lr - data.degrade(sr)).mean(axis=-1)


def paired_solution(a, b):
    difference = np.asarray(b) - np.asarray(a)
    return (difference.mean(), *metrics.bootstrap_interval(difference))


def paired_with_the_sign_turned(a, b):
    return paired_solution(b, a)


def paired_from_two_intervals(a, b):
    (low_a, high_a), (low_b, high_b) = metrics.bootstrap_interval(a), metrics.bootstrap_interval(b)
    return b.mean() - a.mean(), low_b - high_a, high_b - low_a


ANSWERS = {
    "c05_psnr": {
        "solution": psnr_solution,
        "stub": stub,
        "wrong": [
            (psnr_wraps, "wraps around"),
            (psnr_with_peak_one, "you used 1"),
            (psnr_with_empty_slice, "[0:-0]"),
            (psnr_of_one_corner, "all four sides"),
            (psnr_with_peak_of_the_image, "whatever the images hold"),
            (lambda a, b, shave: psnr_solution(a[shave : len(a) - shave], b[shave : len(b) - shave], 0), "rows only"),
            (lambda a, b, shave: np.mean([psnr_solution(a[..., i], b[..., i], shave) for i in range(3)]), "mean of three PSNRs"),
        ],
    },
    "c05_consistency": {
        "solution": consistency_solution,
        "right": [lambda lr, sr: 255 * np.abs(lr - data.degrade(data.quantise(sr))).mean(axis=-1)],
        "stub": stub,
        "wrong": [
            (consistency_without_antialias, "without antialiasing"),
            (consistency_in_unit_range, "multiply by 255"),
            (consistency_with_channels, "three channels"),
            (consistency_that_cancels, "cancel"),
            (lambda lr, sr: 255 * np.abs(lr - data.resize(sr, lr.shape[1:3])).mean(axis=-1), "did not round"),
            (lambda lr, sr: 256 * np.abs(lr - data.degrade(sr)).mean(axis=-1), "not by 256"),
            (lambda lr, sr: consistency_solution(lr, sr).swapaxes(1, 2)[:, :, :24], "expected"),
        ],
    },
    "c05_paired": {
        "solution": paired_solution,
        "stub": stub,
        "wrong": [
            (paired_with_the_sign_turned, "wrong way round"),
            (paired_from_two_intervals, "subtract image by image"),
            (lambda a, b: ((b - a).mean(), metrics.bootstrap_interval(b - a)), "a pair of their own"),
            (lambda a, b: (np.abs(b - a).mean(), *metrics.bootstrap_interval(np.abs(b - a))), "absolute differences"),
            (lambda a, b: ((b - a).mean(), *np.percentile(b - a, (2.5, 97.5))), "holds 95% of the images"),
            (lambda a, b: (sum(metrics.bootstrap_interval(b - a)) / 2, *metrics.bootstrap_interval(b - a)), "no middle of the interval"),
        ],
    },
}
