"""Checks of chapter 01, data."""

import reprlib

import numpy as np

from .. import data, photos
from . import exercise, grade, mostly, numbers, require


@exercise
def to_uint8(answer):
    """my_to_uint8(images) -> bytes, rounded to the nearest level, clipped; a tie may go either way."""
    not_256 = "multiply by 255: 256 does not fit into a byte and wraps around, so that white becomes 0"
    outside = "values outside [0, 1] wrap around unless you clip them first"
    grade(
        answer,
        lambda images: np.rint(np.clip(images, 0, 1) * 255).astype("uint8"),
        [
            (
                lambda x: np.clip(x, 0, 1) * 255 // 1,
                "0.9999 becomes 254: astype cuts the fraction off; round first, for example with np.rint",
            ),
            (lambda x: np.clip(x, 0, 1) * 255, "the levels are not rounded yet; np.rint does it"),
            (lambda x: np.clip(x, 0, 1) * 256 // 1 % 256, not_256),
            (lambda x: np.rint(np.clip(x, 0, 1) * 256) % 256, not_256),
            (
                lambda x: np.minimum(np.clip(x, 0, 1) * 256, 255) // 1,
                "some values between two levels do not become the nearest one: multiply by 255 (not by 256), and round",
            ),
            (lambda x: np.clip(x, 0, 1) // 1, "everything is 0 or 1: multiply by 255 before the conversion"),
            (lambda x: np.rint(np.clip(x, 0, 1)), "everything is 0 or 1: multiply by 255 before you round"),
            (lambda x: np.rint(255 * x) % 256, outside),
            (lambda x: np.rint(255 * x).astype("uint8"), outside),
            (
                lambda x: np.rint(255 * (x - x.min()) / np.ptp(x)),
                "-0.02 and 1.02 change what 0.2 becomes: clip to [0, 1]; do not stretch",
            ),
            (
                lambda x: np.rint(255 * np.maximum(x, 0) / x.max()),
                "1.02 changes what 0.2 becomes: clip to [0, 1]; do not divide by the largest value",
            ),
        ],
        (np.array([0, 0.2, 0.33, 0.9999, 1], "float32"),),
        (np.array([[-0.02, 0.2, 1.02]], "float32"),),
        (np.arange(256, dtype="float32") / 255,),  # the way back from every byte
        (np.linspace(0, 1, 1000, dtype="float32"),),  # without a tie
        hint="clip to [0, 1], multiply by 255, round",
    )
    kind = numbers(answer(np.ones(1, "float32"))).dtype
    require(kind == "uint8", f"the numbers are right, but their dtype is {kind}; expected uint8")


@exercise
def psnr(answer):
    """my_psnr(reference, result) -> dB, floats in [0, 1], RGB."""
    rng = np.random.default_rng(0)
    references = [rng.uniform(0.2, 0.8, (16, width, 3)).astype("float32") for width in (16, 24)]
    results = [x + rng.normal(0.02, 0.05, x.shape).astype("float32") for x in references]  # too bright: MSE > variance

    def mse(reference, result, axis=None):
        return np.mean((reference - result) ** 2, axis)

    grade(
        answer,
        lambda reference, result: -10 * np.log10(mse(reference, result)),
        [
            (
                lambda x, y: -10 * np.log10(mse(x, y, (0, 1))),
                "you return one number per channel; "
                "take the mean of the squares over rows, columns and channels at once",
            ),
            (
                lambda x, y: 10 * np.log10(mse(x, y)),
                "the sign is wrong: a smaller error must give a larger PSNR",
            ),
            (
                lambda x, y: -5 * np.log10(mse(x, y)),
                "half of the right value: you took the square root of the MSE and kept the factor 10; "
                "use 20 with the root, or 10 without",
            ),
            (
                lambda x, y: -20 * np.log10(mse(x, y)),
                "twice the right value: the factor 20 belongs to the root of the MSE; with the MSE itself it is 10",
            ),
            (
                lambda x, y: 10 * np.log10(255**2 / mse(x, y)),
                "48.13 dB too much: the images are in [0, 1], so the peak is 1 and not 255",
            ),
            (
                lambda x, y: 10 * np.log10(255 / mse(x, y)),
                "24.07 dB too much: the images are in [0, 1], so the peak is 1 and not 255; and a peak is squared",
            ),
            (lambda x, y: -10 * np.log(mse(x, y)), "you used the natural logarithm; decibels need np.log10"),
            (lambda x, y: -np.log10(mse(x, y)), "the factor 10 is missing: that is bel, not decibel"),
            (mse, "that is the mean squared error; turn it into decibels"),
            (
                lambda x, y: -20 * np.log10(np.mean(np.abs(x - y))),
                "you used the mean absolute error; square the differences",
            ),
        ],
        *zip(references, results),
        hint="10 log10(1 / MSE), the mean over all pixels and channels, not rounded",
    )


@exercise
def degrade2(answer):
    """my_degrade2(hr) -> lr at half the size, bicubic, antialiased, 8 bits."""
    hr = data.to_float(photos.portraits())
    hr[:, ::16, :64] = np.float32([0, 1, 0])  # sharp edges, where bicubic leaves [0, 1]

    def half(hr, **how):
        return data.resize(hr, (hr.shape[-3] // 2, hr.shape[-2] // 2), **how)

    grade(
        answer,
        lambda hr: data.quantise(half(hr)),
        [
            (data.degrade, "the result is 32x32: that is factor 4; halve height and width"),
            (lambda hr: 255 * data.quantise(half(hr)), "return floats in [0, 1], not 8-bit levels"),
            (half, "not rounded: put data.quantise around it, since LR must be what an 8-bit file holds"),
            (lambda hr: np.clip(half(hr), 0, 1), "clipped, but not rounded: use data.quantise"),
            (
                lambda hr: data.quantise(half(hr, antialias=False)),
                "antialias is off: detail too fine for the small image comes back as false structure",
            ),
            (
                lambda hr: hr[..., ::2, ::2, :],
                "you only took every second pixel; that is sampling without any filter",
            ),
            *[
                (lambda hr, k=kernel: data.quantise(half(hr, kernel=k)), f"this is {kernel}; the course uses bicubic")
                for kernel in ("nearest", "bilinear", "lanczos")
            ],
            (lambda hr: np.clip(half(hr), 0, 1) * 255 // 1 / 255, "the levels are cut off instead of rounded"),
            (
                lambda hr: np.rint(half(hr) * 255) / 255,
                "rounded, but not clipped: beside sharp edges bicubic leaves [0, 1], which no 8-bit file can hold",
            ),
        ],
        (hr,),
        (hr[0, :, :96],),
        near=mostly,
        hint="data.quantise(data.resize(hr, (height // 2, width // 2))), for a batch and for a single image",
    )


@exercise
def split(answer):
    """my_split(people, seed) -> photo numbers for training, validation and test, no person in two."""
    rng = np.random.default_rng(3)
    photos_each = rng.integers(3, 30, 1007)  # a number that 10 does not divide
    photos_each[0] = photos_each.sum()  # somebody with half of the photos: shares of people are not shares of photos
    people = rng.permutation(np.repeat(np.arange(1007) * 101 + 11, photos_each))

    def parts(seed):
        found = answer(people, seed)
        require(
            isinstance(found, (tuple, list, np.ndarray)) and len(found) == 3,
            "return three arrays, the photos for training, validation and test (replace the dots); "
            f"the result is {reprlib.repr(found)}",
        )
        return [numbers(part, name="one of the three") for part in found]

    def who(part):  # also where these are no positions of photos
        return set(people.take(part.astype(int).ravel(), mode="clip"))

    found = parts(0)
    together, sides = np.concatenate(found, axis=None), [who(part) for part in found]
    counts, missing = [len(side) for side in sides], len(people) - len(together)
    shared = len((sides[0] & sides[1]) | (sides[0] & sides[2]) | (sides[1] & sides[2]))
    for wrong, sentence in [
        (
            any(part.dtype == bool for part in found),
            "you return masks; return the photos' positions, for example with np.flatnonzero",
        ),
        (
            not all(part.ndim == 1 and part.dtype.kind in "iu" and len(part) for part in found),
            "each of the three must be a one-dimensional, non-empty array of integers",
        ),
        (
            not np.isin(together, np.arange(len(people))).all(),
            "you return numbers of people; return the positions of their photos, counted from 0",
        ),
        (len(set(together)) < len(together), "some photos are in two parts, or twice in one"),
        (shared, f"{shared} of the 1007 people are in two parts: shuffle and cut the people, not the photos"),
        (missing, f"{missing} of the {len(people)} photos are in no part"),
        (
            not np.allclose(counts, (806, 100, 100), rtol=0, atol=40),
            f"the parts hold {counts} of 1007 people; expected about 806, 100 and 100: training first, "
            "then validation and test, in percent of the people, not of the photos",
        ),
        (
            not all(map(np.array_equal, found, parts(0))),
            "two calls with the same seed differ: use np.random.default_rng(seed)",
        ),
        (
            who(parts(1)[2]) == sides[2],
            "the seed changes nothing: choose the people at random, not in the order of their numbers",
        ),
    ]:
        require(not wrong, sentence)
