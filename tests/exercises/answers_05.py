"""Answers to the exercises of chapter 05: (check, answer, what the verdict holds)."""

import numpy as np
import scipy.stats

from srlib import data, metrics


def psnr(reference, result, shave, peak=255):
    height, width = reference.shape[:2]
    inner = np.s_[shave : height - shave, shave : width - shave]
    return 10 * np.log10(peak**2 / np.mean((reference[inner].astype("float64") - result[inner]) ** 2))


def psnr_wraps(reference, result, shave):
    height, width = reference.shape[:2]
    inner = np.s_[shave : height - shave, shave : width - shave]
    return 10 * np.log10(255**2 / np.mean((reference[inner] - result[inner]) ** 2))


def psnr_with_empty_slice(reference, result, shave):
    error = reference[shave:-shave, shave:-shave].astype(float) - result[shave:-shave, shave:-shave]
    return 10 * np.log10(255**2 / np.mean(error**2)) if error.size else np.nan


def shrink(lr, sr, antialias=True, rounding=np.rint):
    return rounding(255 * np.clip(data.resize(sr, lr.shape[1:3], antialias=antialias), 0, 1)) / 255


def resampled(a, b, draws=1000, seed=3, ends=(2.5, 97.5)):
    """Another bootstrap than the package's: all draws at once, another seed."""
    means = (b - a)[np.random.default_rng(seed).integers(0, len(a), (draws, len(a)))].mean(axis=1)
    return ((b - a).mean(), *np.percentile(means, ends))


def by_scipy(method):
    def answer(a, b):
        found = scipy.stats.bootstrap((b - a,), np.mean, method=method, random_state=1).confidence_interval
        return np.mean(b - a), found.low, found.high

    return answer


def normal(a, b, factor=1.96):
    width = factor * np.std(b - a, ddof=1) / np.sqrt(len(a))
    return (b - a).mean(), (b - a).mean() - width, (b - a).mean() + width


def standard_error_resampled(a, b):
    means = (b - a)[np.random.default_rng(0).integers(0, len(a), (2000, len(a)))].mean(axis=1)
    return (b - a).mean(), (b - a).mean() - 1.96 * means.std(), (b - a).mean() + 1.96 * means.std()


def two_intervals(a, b):
    (low_a, high_a), (low_b, high_b) = metrics.bootstrap_interval(a), metrics.bootstrap_interval(b)
    return b.mean() - a.mean(), low_b - high_a, high_b - low_a


def resampled_apart(a, b):
    rng = np.random.default_rng(0)
    means = [rng.choice(b, len(b)).mean() - rng.choice(a, len(a)).mean() for _ in range(2000)]
    return ((b - a).mean(), *np.percentile(means, (2.5, 97.5)))


ANSWERS = [
    ("c05.psnr", lambda x, y, s: 20 * np.log10(255 / np.sqrt(10 ** (-psnr(x, y, s, 1) / 10))), "Correct."),
    ("c05.psnr", psnr_wraps, "wraps around"),
    ("c05.psnr", lambda x, y, s: psnr(x, y, s, peak=1), "you used 1"),
    ("c05.psnr", psnr_with_empty_slice, "[0:-0]"),
    ("c05.psnr", lambda x, y, s: psnr(x[s:, s:], y[s:, s:], 0), "all four sides"),
    ("c05.psnr", lambda x, y, s: psnr(x, y, s, peak=float(x.max())), "whatever the images hold"),
    ("c05.psnr", lambda x, y, s: psnr(x[s : len(x) - s], y[s : len(y) - s], 0), "rows only"),
    ("c05.psnr", lambda x, y, s: np.mean([psnr(x[..., i], y[..., i], s) for i in range(3)]), "mean of three PSNRs"),
    ("c05.psnr", lambda x, y, s: psnr(x[4:20, 4:26], y[4:20, 4:26], 0), "right for the first inputs, but with"),
    ("c05.psnr", lambda x, y, s: round(psnr(x, y, s), 2), "not rounded"),
    ("c05.consistency", lambda lr, sr: 255 * np.abs(lr - data.degrade(data.quantise(sr))).mean(axis=-1), "Correct."),
    (
        "c05.consistency",
        lambda lr, sr: 255 * np.abs(lr - shrink(lr, sr, rounding=lambda x: np.floor(x + 0.5))).mean(axis=-1),
        "Correct.",
    ),
    (
        "c05.consistency",
        lambda lr, sr: 255 * np.abs(lr - shrink(lr, sr, rounding=lambda x: np.ceil(x - 0.5))).mean(axis=-1),
        "Correct.",
    ),
    ("c05.consistency", lambda lr, sr: 255 * np.abs(lr - shrink(lr, sr, False)).mean(axis=-1), "without antialiasing"),
    ("c05.consistency", lambda lr, sr: np.abs(lr - data.degrade(sr)).mean(axis=-1), "multiply by 255"),
    ("c05.consistency", lambda lr, sr: 255 * np.abs(lr - data.degrade(sr)), "three channels"),
    ("c05.consistency", lambda lr, sr: 255 * (lr - data.degrade(sr)).mean(axis=-1), "cancel"),
    ("c05.consistency", lambda lr, sr: 255 * np.abs(lr - data.resize(sr, lr.shape[1:3])).mean(-1), "did not round"),
    ("c05.consistency", lambda lr, sr: 256 * np.abs(lr - data.degrade(sr)).mean(axis=-1), "not by 256"),
    (
        "c05.consistency",
        lambda lr, sr: 255 * np.abs(lr - data.degrade(sr)).mean(-1).swapaxes(1, 2),
        "has shape (2, 24,",
    ),
    ("c05.paired", resampled, "Correct."),
    ("c05.paired", lambda a, b: list(resampled(a, b, draws=5000, seed=4)), "Correct."),
    ("c05.paired", by_scipy("percentile"), "Correct."),
    ("c05.paired", by_scipy("BCa"), "Correct."),
    ("c05.paired", by_scipy("basic"), "Correct."),
    ("c05.paired", normal, "a normal approximation"),
    ("c05.paired", lambda a, b: normal(a, b, scipy.stats.t.ppf(0.975, len(a) - 1)), "a normal approximation"),
    ("c05.paired", standard_error_resampled, "a normal approximation"),
    ("c05.paired", lambda a, b: metrics.paired_interval(b, a), "wrong way round"),
    ("c05.paired", two_intervals, "one interval minus another"),
    ("c05.paired", resampled_apart, "resampled apart"),
    ("c05.paired", lambda a, b: ((b - a).mean(), metrics.bootstrap_interval(b - a)), "pair inside a pair"),
    ("c05.paired", lambda a, b: (np.abs(b - a).mean(), *metrics.bootstrap_interval(b - a)), "absolute differences"),
    ("c05.paired", lambda a, b: ((b - a).mean(), *np.percentile(b - a, (2.5, 97.5))), "holds 95% of the images"),
    ("c05.paired", lambda a, b: (np.median(b - a), *metrics.bootstrap_interval(b - a)), "no median"),
    ("c05.paired", lambda a, b: resampled(a, b, ends=(5, 95)), "percentiles 2.5 and 97.5"),
    ("c05.paired", lambda a, b: resampled(a, b, ends=(0.5, 99.5)), "percentiles 2.5 and 97.5"),
    ("c05.paired", lambda a, b: [(b - a).mean()] * 3, "with replacement"),
]
