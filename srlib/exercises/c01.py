"""Checks of chapter 01, data."""

import reprlib

import numpy as np

from .. import data, photos
from . import exercise, grade, near, numbers, require


@exercise
def author_lr(answer):
    """my_author_lr(hr) -> LR as `tf.image.resize` makes it: bilinear, no antialias, not rounded."""
    hr = data.to_float(photos.portraits())

    def inner(hr, *places):
        """The mean of some rows and columns of each cell of 4x4 pixels."""
        return sum(hr[..., y::4, x::4, :] for y in places for x in places) / len(places) ** 2

    grade(
        answer,
        lambda hr: inner(hr, 1, 2),
        [
            (
                lambda hr: data.resize(hr, (hr.shape[-3] // 4, hr.shape[-2] // 4)),
                "that is the course's LR before rounding; the author's is bilinear, without antialias",
            ),
            (data.degrade, "that is the course's LR; the author's is bilinear, without antialias, not rounded"),
            (
                lambda hr: data.resize(hr, (hr.shape[-3] // 4, hr.shape[-2] // 4), "bilinear"),
                "antialias is on: only the middle four of 16 pixels may count",
            ),
            (lambda hr: inner(hr, 0, 1, 2, 3), "you took the mean of all 16 pixels; only the middle four count"),
            (lambda hr: inner(hr, 1), "you took one pixel of the middle four; take the mean of all four"),
            (lambda hr: inner(hr, 2), "you took one of the middle four pixels; take the mean of all four"),
            (lambda hr: inner(hr, 0), "you took the corner of each cell; take the mean of the middle four pixels"),
            (lambda hr: inner(hr, 0, 1), "you took rows and columns 0 and 1; counted from 0, the middle is 1 and 2"),
            (lambda hr: inner(hr, 2, 3), "you took rows and columns 2 and 3; counted from 0, the middle is 1 and 2"),
            (lambda hr: inner(hr, 0, 3), "these are the four corners of each cell; take the middle four pixels"),
            (lambda hr: 4 * inner(hr, 1, 2), "four times too bright: divide the sum of the four pixels by 4"),
            (lambda hr: 2 * inner(hr, 1, 2), "twice too bright: divide by 2 after each of the two sums"),
            (lambda hr: data.quantise(inner(hr, 1, 2)), "right, but rounded to 8 bits; the author's LR is not"),
        ],
        (hr,),
        (hr[0, :64, :96],),
        hint="the mean of rows 1 and 2 and of columns 1 and 2 of each cell of 4x4 pixels, counted from 0",
    )


@exercise
def noisy_batch(answer):
    """my_noisy_batch(pixels, step, batch, seed, sigma) -> the batch of `batch_at`, with repeatable noise on LR."""
    pixels = np.random.default_rng(5).integers(60, 196, (6, 32, 32, 3), dtype="uint8")  # .05 of noise clips nothing

    def noise(step=0, seed=0, sigma=0.05):
        """What the answer has added to LR, after a look at all else."""
        found = answer(pixels, step, 4, seed, sigma)
        require(
            isinstance(found, (tuple, list)) and len(found) == 2,
            f"return a pair, (lr, hr) (replace the dots); the result is {reprlib.repr(found)}",
        )
        clean, target = data.batch_at(pixels, step, 4, seed)
        lr, hr = numbers(found[0], clean.shape, "lr"), numbers(found[1], target.shape, "hr")
        for fine, sentence in [
            (
                near(hr, target),
                f"hr is not that of batch_at for step {step} and seed {seed}. It is the target and stays clean, and "
                "step, batch and seed have to be passed on",
            ),
            (near(lr, data.quantise(lr)), "lr is not what an 8-bit file holds: clip and round it, as quantise does"),
        ]:
            require(fine, sentence)
        return lr - clean

    first, later, other = noise(), noise(step=1), noise(seed=1)
    require(
        abs(first.mean()) < 0.01 and abs(first.std() - 0.05) < 0.006,
        f"with sigma 0.05, lr differs from that of batch_at by noise of mean {first.mean():.3f} and standard deviation "
        f"{first.std():.4f}; expected 0 and 0.05. Noise that is added before the shrinking is averaged away there",
    )
    for one, two, sentence in [
        (first[0], first[1], "all images of the batch get the same noise; draw as many numbers as lr has"),
        (first[..., 0], first[..., 1], "red, green and blue get the same noise; draw as many numbers as lr has"),
        (first, later, "every step gets the same noise: the generator has to depend on step"),
        (first, other, "the seed does not change the noise: the generator has to depend on it"),
        (later, other, "step 1 of seed 0 gets the noise of step 0 of seed 1: use a list, [seed, step]"),
    ]:
        require(np.corrcoef(one.ravel(), two.ravel())[0, 1] < 0.9, sentence)
    require(near(first, noise()), "two calls with the same arguments differ: use np.random.default_rng([seed, step])")
    require(noise(sigma=0.5).std() > 0.2, "sigma changes nothing: it is the standard deviation of the noise")


@exercise
def split(answer):
    """my_split(people, seed) -> photo numbers for training, validation and test, no person in two."""
    rng = np.random.default_rng(3)
    people = rng.permutation(  # one has half of the photos, so shares of people are no shares of photos
        np.repeat(np.arange(1007) * 101 + 11, np.r_[15_000, rng.integers(3, 30, 1006)])
    )

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
