"""Answers to the exercises of chapter 03: (check, answer, what the verdict holds)."""

import numpy as np

from srlib.runtime import load_tensorflow

tf = load_tensorflow()
import keras
from keras import ops


def search(values, grid):
    """The best constants of a grid, for both errors."""
    gaps = np.abs(grid[:, None] - values)
    return grid[(gaps**2).mean(axis=1).argmin()], grid[gaps.mean(axis=1).argmin()]


def descend(values, power, steps=4000):
    """A search that walks downhill by ever smaller steps."""
    x = values[0]
    for step in range(steps):
        gaps = x - values
        x = x - np.mean(np.sign(gaps) * np.abs(gaps) ** (power - 1)) / (1 + step) ** 0.7
    return x


def together(loss):
    """One cross-entropy over both batches behind each other, as GAN tutorials write it."""

    def answer(real, fake):
        logits = ops.concatenate([real, fake], axis=0)
        return loss(ops.concatenate([ops.ones_like(real), ops.zeros_like(fake)], axis=0), logits)

    return answer


def halves(real, fake, part=ops.softplus, mean=ops.mean):
    """The usual form, with another cross-entropy of a logit or another mean."""
    return 0.5 * (mean(part(-real)) + mean(part(fake)))


def branches(x):
    return ops.where(x > 15.0, x, ops.log1p(ops.exp(x)))


def length(f, small=1e-10):
    return np.sqrt(np.sum(f**2, axis=-1, keepdims=True) + small)


def normalise_in_place(f):
    f /= length(f)
    return f


def charbonnier(hr, sr, epsilon=1e-3):
    return ops.mean(ops.sqrt(ops.square(hr - sr) + epsilon**2))


ANSWERS = [
    ("c03.best_constants", lambda values: (ops.mean(values), ops.median(values)), "Correct."),
    ("c03.best_constants", lambda values: [np.mean(values), np.quantile(values, 0.5)], "Correct."),
    ("c03.best_constants", lambda v: search(v, np.linspace(v.min(), v.max(), 1001)), "Correct."),
    ("c03.best_constants", lambda v: search(v, np.linspace(v.min(), v.max(), 101)), "Correct."),
    ("c03.best_constants", lambda v: search(v, np.arange(-5, 5, 0.01)), "Correct."),
    ("c03.best_constants", lambda v: (descend(v, 2), descend(v, 1)), "Correct."),
    ("c03.best_constants", lambda v: search(v, np.linspace(0, 1, 1001)), "right for the first inputs"),
    ("c03.best_constants", lambda v: search(v, np.linspace(v.min(), v.max(), 10)), "expected 0.24"),
    ("c03.best_constants", lambda values: (np.median(values), np.mean(values)), "swapped"),
    ("c03.best_constants", lambda values: (np.mean(values), np.mean(values)), "on either side"),
    ("c03.best_constants", lambda values: (np.mean(values), 0.0), "most frequent"),
    ("c03.best_constants", lambda values: (np.mean(values), values[len(values) // 2]), "sort the values"),
    ("c03.best_constants", lambda values: (np.mean(values), np.sort(values)[1:-1].mean()), "the second number is"),
    ("c03.best_constants", lambda values: (np.mean(values), ...), "dots"),
    ("c03.best_constants", lambda v: (v.sort(), (np.mean(v), np.median(v)))[1], "changed its input"),
    ("c03.discriminator_loss", together(keras.losses.BinaryCrossentropy(from_logits=True)), "Correct."),
    (
        "c03.discriminator_loss",
        together(lambda labels, x: tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, x))),
        "Correct.",
    ),
    ("c03.discriminator_loss", lambda r, f: ops.mean(ops.softplus(tf.concat([-r, f], axis=-1))), "Correct."),
    ("c03.discriminator_loss", lambda r, f: -halves(r, f, lambda x: ops.log_sigmoid(-x) * -1) * -1, "Correct."),
    ("c03.discriminator_loss", lambda r, f: halves(r, f, lambda x: -ops.log(ops.sigmoid(-x))), "rounds to 0 or 1"),
    ("c03.discriminator_loss", lambda r, f: 2 * halves(r, f), "half of the sum"),
    ("c03.discriminator_loss", lambda r, f: ops.mean(ops.softplus(-r)), "the half for fakes is missing"),
    ("c03.discriminator_loss", lambda r, f: halves(-r, -f), "swapped"),
    ("c03.discriminator_loss", lambda r, f: halves(ops.clip(r, -15, 15), ops.clip(f, -15, 15)), "exp overflows"),
    ("c03.discriminator_loss", lambda r, f: halves(r, f, lambda x: ops.log(1 + ops.exp(x))), "exp overflows"),
    ("c03.discriminator_loss", lambda r, f: halves(r, f, mean=lambda x: ops.sum(x) / len(x)), "maps of 2x3 logits"),
    ("c03.discriminator_loss", lambda r, f: halves(r, f, branches), "`where` computes both branches"),
    ("c03.discriminator_loss", lambda r, f: halves(ops.stop_gradient(r), f), "stop_gradient"),
    ("c03.discriminator_loss", lambda r, f: float(halves(r, f)), "cut it off"),
    ("c03.discriminator_loss", lambda r, f: halves(r.numpy(), f.numpy(), lambda x: np.logaddexp(0, x)), "NumPy"),
    ("c03.normalise", lambda f: f / (np.linalg.norm(f, axis=-1, keepdims=True) + 1e-8), "Correct."),
    ("c03.normalise", lambda f: tf.math.l2_normalize(f, axis=-1), "Correct."),
    ("c03.normalise", lambda f: f / np.sqrt(np.sum(f**2, axis=(1, 2), keepdims=True) + 1e-10), "over the positions"),
    ("c03.normalise", lambda f: f / length(f, 0), "NaN"),
    ("c03.normalise", lambda f: f / np.sqrt(np.sum(f**2)), "expected"),
    ("c03.normalise", lambda f: f / (length(f, 0) + np.any(length(f, 0) == 0)), "each position by itself"),
    ("c03.normalise", lambda f: np.abs(f) / length(f), "lost their sign"),
    ("c03.normalise", lambda f: f / np.maximum(length(f), 0.5), "a weak one, too"),
    ("c03.normalise", normalise_in_place, "changed its input"),
    ("c03.charbonnier", lambda hr, sr, e: ops.mean(((hr - sr) ** 2 + e**2) ** 0.5), "Correct."),
    ("c03.charbonnier", lambda hr, sr, e: ops.sqrt(ops.mean(ops.square(hr - sr)) + e**2), "root of the mean"),
    ("c03.charbonnier", lambda hr, sr, e: ops.mean(ops.sqrt(ops.square(hr - sr) + e)), "stands squared"),
    ("c03.charbonnier", lambda hr, sr, e: ops.mean(ops.abs(hr - sr)), "plain L1"),
    ("c03.charbonnier", lambda hr, sr, e: charbonnier(hr, sr), "expected"),
    ("c03.charbonnier", lambda hr, sr, e: ops.convert_to_tensor(charbonnier(hr, sr, e).numpy()), "no gradient arrives"),
]
