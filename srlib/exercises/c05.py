"""Checks of chapter 05, evaluation."""

import numpy as np

from .. import data, metrics, photos
from . import exercise, grade, mostly, near, numbers, require


@exercise
def psnr(answer):
    """my_psnr(reference, result, shave) -> dB, of two uint8 images with a border cut off."""
    reference, result = np.random.default_rng(5).integers(0, 256, (2, 24, 30, 3)).astype("uint8")
    grey = [(image // 2 + 50).astype("uint8") for image in (reference, result)]  # 50 to 177

    def cut(image, shave):
        return image[shave : len(image) - shave, shave : image.shape[1] - shave].astype(float)

    def decibels(x, y, peak=255.0, kind=float):
        return 10 * np.log10(peak**2 / np.mean((x.astype(kind) - y.astype(kind)) ** 2))

    def right(reference, result, shave, **how):
        return decibels(cut(reference, shave), cut(result, shave), **how)

    wraps = "uint8 wraps around: 3 - 5 is 254. Convert to float before you subtract and square"
    grade(
        answer,
        right,
        [
            (lambda x, y, s: right(x, y, s, kind="uint8"), wraps),
            (
                lambda x, y, s: 10 * np.log10(255**2 / np.mean(((cut(x, s) - cut(y, s)) % 256) ** 2)),
                wraps,
            ),
            (
                lambda x, y, s: right(x, y, s, kind="int16"),
                "int16 holds the differences, but not their squares, up to 65025: convert to float",
            ),
            (lambda x, y, s: right(x, y, s, peak=1), "the peak of uint8 pixels is 255; you used 1"),
            (lambda x, y, s: right(x, y, s, peak=255**0.5), "the peak is squared too: 10 log10(255^2 / MSE)"),
            (lambda x, y, s: right(x, y, s, peak=256), "the peak of uint8 pixels is 255; you used 256"),
            (
                lambda x, y, s: right(x, y, s, peak=float(x.max())),
                "you used the largest pixel as the peak: it is 255, whatever the images hold",
            ),
            (
                lambda x, y, s: right(x, y, s) if s else np.nan,
                "right, but for shave=0, where you get NaN: beware of the slice [0:-0], which is empty",
            ),
            (lambda x, y, s: right(x, y, 0), "the border is still there: shave was ignored"),
            (
                lambda x, y, s: decibels(x[s:, s:], y[s:, s:]),
                "you cut the upper and left border only; cut all four sides",
            ),
            (lambda x, y, s: decibels(x[s : len(x) - s], y[s : len(y) - s]), "you cut rows only; cut all four sides"),
            (
                lambda x, y, s: right(x, y, s // 2),
                "you cut half of shave from each side; the argument counts the pixels of one side",
            ),
            (
                lambda x, y, s: np.mean([right(x[..., i], y[..., i], s) for i in range(3)]),
                "that is the mean of three PSNRs; take one mean of the squares, over rows, columns and channels",
            ),
            (lambda x, y, s: -right(x, y, s), "the sign is wrong: a smaller error must give a larger PSNR"),
            (
                lambda x, y, s: right(x, y, s) * np.log(10),
                "you used the natural logarithm; decibels need np.log10",
            ),
            (lambda x, y, s: right(x, y, s) / 10, "the factor 10 is missing: that is bel, not decibel"),
            (
                lambda x, y, s: right(x, y, s) / 2,
                "10 log10 of the mean SQUARED error; or 20 log10 if you took the root",
            ),
            (
                lambda x, y, s: right(x, y, s) * 2,
                "the factor 20 belongs to the root of the MSE; with the MSE itself it is 10",
            ),
        ],
        (reference, result, 4),
        (*grey, 4),
        (reference, result, 2),
        (reference[2:], result[2:], 4),
        (reference, result, 0),
        hint="not rounded",
    )


@exercise
def consistency(answer):
    """consistency_map(lr, sr): the difference between lr and sr degraded again, mean over channels, 8-bit levels."""
    hr = data.to_float(photos.portraits())[:, :, :96]  # 128x96: hides no exchanged sides
    lr = data.degrade(hr)
    sr = data.quantise(data.upscale(lr) + np.float32([0.05, 0, -0.1]))  # as a file holds it: rounding changes nothing

    def level(error):
        return 255 * np.abs(error).mean(axis=-1)

    def small(lr, sr, **how):
        return data.resize(sr, lr.shape[1:3], **how)

    cancel = "positive and negative errors cancel: take the absolute value before the mean over channels"
    grade(
        answer,
        lambda lr, sr: level(lr - data.degrade(sr)),
        [
            (
                lambda lr, sr: 255 * np.abs(lr - data.degrade(sr)),
                "the map still has three channels; average over the last axis",
            ),
            (lambda lr, sr: level(lr - data.degrade(sr)) / 255, "the map is in [0, 1]; multiply by 255 for levels"),
            (
                lambda lr, sr: level(lr - data.degrade(sr)) / 255 * 256,
                "multiply by 255, not by 256: white is level 255",
            ),
            (lambda lr, sr: 255 * (lr - data.degrade(sr)).mean(axis=-1), cancel),
            (lambda lr, sr: 255 * (data.degrade(sr) - lr).mean(axis=-1), cancel),
            (lambda lr, sr: 255 * np.abs((lr - data.degrade(sr)).mean(axis=-1)), cancel),
            (
                lambda lr, sr: 255 * np.sqrt(((lr - data.degrade(sr)) ** 2).mean(axis=-1)),
                "that is the root of the mean square over channels; take the mean of the absolute values",
            ),
            (
                lambda lr, sr: 255**2 * ((lr - data.degrade(sr)) ** 2).mean(axis=-1),
                "you squared the differences; take their absolute values",
            ),
            (lambda lr, sr: 3 * level(lr - data.degrade(sr)), "that is the sum over channels; take the mean"),
            (
                lambda lr, sr: 255 * np.abs(lr - data.degrade(sr)).max(axis=-1),
                "that is the largest of the three channels; take the mean",
            ),
            (
                lambda lr, sr: (data.to_uint8(lr) - data.to_uint8(data.degrade(sr))).mean(axis=-1),
                "uint8 wraps around: 3 - 5 is 254. Subtract floats",
            ),
            (
                lambda lr, sr: level(lr - small(lr, sr)),
                "you did not round to 8 bits after shrinking: data.degrade does both",
            ),
            (
                lambda lr, sr: level(lr - np.clip(small(lr, sr), 0, 1)),
                "you clipped, but did not round to 8 bits after shrinking: data.degrade does both",
            ),
            (
                lambda lr, sr: level(lr - data.quantise(small(lr, sr, antialias=False))),
                "you shrank without antialiasing; that is another degradation. Use data.degrade",
            ),
            (
                lambda lr, sr: level(lr - sr[:, ::4, ::4]),
                "you picked every fourth pixel; that is another degradation. Use data.degrade",
            ),
        ],
        (lr, sr),
        near=mostly,
        name="the map",
    )


@exercise
def paired(answer):
    """compare(a, b) -> mean of b - a, low and high end of its bootstrap 95% interval."""
    rng = np.random.default_rng(6)
    a = rng.normal(27, 2, 80)
    b = a + rng.normal(0.2, 0.25, 80)  # of both signs

    def same(value, right):
        width = np.ptp(right)  # resampling moves each end by a few percent of it
        return near(value, right, atol=0.09 * width) and 0.87 * width < value[1] - value[0] < 1.15 * width

    grade(
        lambda a, b: numbers(answer(a, b), (3,), "compare(a, b)")[0],
        lambda a, b: (b - a).mean(),
        [
            (lambda a, b: (a - b).mean(), "the sign is the wrong way round: b - a is positive when b is better"),
            (
                lambda a, b: np.abs(b - a).mean(),
                "you took absolute differences: where b is worse, b - a must count as negative",
            ),
        ],
        (a, b),
        name="the mean",
        hint="the mean of b - a itself, not rounded: no median, no middle of the interval, no mean of resamples",
    )
    grade(
        lambda a, b: numbers(answer(a, b))[1:],
        lambda a, b: metrics.bootstrap_interval(b - a),
        [
            (
                lambda a, b: np.percentile(b - a, (2.5, 97.5)),
                "your interval holds 95% of the images; that of their *mean* is narrower: "
                "resample the images and take percentiles of the means",
            ),
            (
                lambda a, b: np.subtract(metrics.bootstrap_interval(b), metrics.bootstrap_interval(a)[::-1]),
                "that is one interval minus another: subtract image by image first, then take one interval",
            ),
            (
                lambda a, b: np.mean(b - a) + np.array([-1.96, 1.96]) * np.sqrt((a.var() + b.var()) / len(a)),
                "a and b are resampled apart: subtract image by image first, then take one interval",
            ),
            (
                lambda a, b: metrics.bootstrap_interval(b - a, 0.9),
                "your interval holds 90%: 95% lie between the percentiles 2.5 and 97.5",
            ),
        ],
        (a, b),
        near=same,
        name="the interval",
        hint="draw the images with replacement, as many as there are, often enough; "
        "95% of the means of b - a lie between their percentiles 2.5 and 97.5",
    )
    skewed = rng.permutation(-0.05 * np.log(np.arange(0.5, 20) / 20) ** 3)  # a few images gain much
    mean, low, high = numbers(answer(a[:20], a[:20] + skewed))
    require(
        abs((low + high) / 2 - mean) > 0.04 * (high - low),
        "for lopsided differences, too, your interval reaches as far below the mean as above it: that is mean "
        "plus and minus some standard errors, a normal approximation. Take percentiles of the resampled means",
    )
