"""Answers to the exercises of chapter 01: (check, answer, what the verdict holds)."""

import numpy as np

from srlib import data, runtime

tf = runtime.load_tensorflow()


def author_lr(hr):
    return data.resize(hr, (hr.shape[-3] // 4, hr.shape[-2] // 4), "bilinear", antialias=False)


def noisy_batch(pixels, step, batch, seed, sigma, rng=lambda seed, step: np.random.default_rng([seed, step]), **how):
    """The solution with a fault: another generator, or noise of another kind."""
    lr, hr = data.batch_at(pixels, step, batch, seed)
    shape = how.get("shape", lambda lr: lr.shape)(lr)
    lr = lr + rng(seed, step).normal(how.get("mean", 0), how.get("size", lambda sigma: sigma)(sigma), shape)
    return how.get("last", data.quantise)(lr), hr


def noisy(**how):
    return lambda *given: noisy_batch(*given, **how)


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
    ("c01.author_lr", author_lr, "Correct."),
    ("c01.author_lr", lambda hr: tf.image.resize(hr, (hr.shape[-3] // 4, hr.shape[-2] // 4)), "Correct."),
    ("c01.author_lr", lambda hr: data.to_uint8(author_lr(hr)), "the mean of rows 1 and 2"),
    ("c01.author_lr", lambda hr: hr[:, 1::4, 1::4] / 2 + hr[:, 2::4, 2::4] / 2, "rows 1 and 2"),
    ("c01.author_lr", lambda hr: author_lr(hr) if hr.ndim == 4 else author_lr(hr[None]), "right for the first"),
    ("c01.noisy_batch", noisy(), "Correct."),
    ("c01.noisy_batch", lambda *given: [part.tolist() for part in noisy_batch(*given)], "Correct."),
    ("c01.noisy_batch", lambda *given: tuple(map(tf.constant, noisy_batch(*given))), "Correct."),
    ("c01.noisy_batch", noisy(last=lambda lr: np.ceil(np.clip(lr, 0, 1) * 255 - 0.5) / 255), "Correct."),
    ("c01.noisy_batch", noisy(rng=lambda seed, step: np.random.default_rng(1000 * seed + step)), "Correct."),
    ("c01.noisy_batch", noisy(rng=lambda seed, step: np.random.default_rng()), "same arguments differ"),
    ("c01.noisy_batch", noisy(rng=lambda seed, step: np.random.default_rng(seed)), "every step"),
    ("c01.noisy_batch", noisy(rng=lambda seed, step: np.random.default_rng(step)), "the seed does not"),
    ("c01.noisy_batch", noisy(rng=lambda seed, step: np.random.default_rng(seed + step)), "use a list"),
    ("c01.noisy_batch", noisy(shape=lambda lr: lr.shape[1:]), "all images"),
    ("c01.noisy_batch", noisy(shape=lambda lr: (*lr.shape[:3], 1)), "red, green and blue"),
    ("c01.noisy_batch", noisy(size=lambda sigma: 0.05), "sigma changes nothing"),
    ("c01.noisy_batch", noisy(size=lambda sigma: sigma**2), "expected 0 and 0.05"),
    ("c01.noisy_batch", noisy(size=lambda sigma: 0), "expected 0 and 0.05"),
    ("c01.noisy_batch", noisy(mean=0.1), "expected 0 and 0.05"),
    ("c01.noisy_batch", noisy(last=lambda lr: lr), "clip and round"),
    ("c01.noisy_batch", noisy(last=lambda lr: np.rint(lr * 255) / 255), "clip and round"),
    ("c01.noisy_batch", noisy(last=data.to_uint8), "clip and round"),
    ("c01.noisy_batch", noisy(size=lambda sigma: sigma / 4), "averaged away"),
    ("c01.noisy_batch", lambda *given: [part + 1 / 255 for part in noisy_batch(*given)], "stays clean"),
    ("c01.noisy_batch", lambda pixels, step, batch, seed, sigma: noisy_batch(pixels, step, batch, 0, sigma), "seed 1"),
    ("c01.noisy_batch", lambda *given: noisy_batch(*given)[0], "return a pair"),
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
