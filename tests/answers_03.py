"""Answers to the exercises of chapter 03: the solution, the stub, and wrong answers with what the check should say."""

import numpy as np

from srlib.runtime import load_tensorflow

tf = load_tensorflow()
from keras import ops  # noqa: E402


def stub(*arguments):
    return ...


def discriminator_naive(real, fake):
    return -0.5 * (ops.mean(ops.log(ops.sigmoid(real))) + ops.mean(ops.log(1.0 - ops.sigmoid(fake))))


def discriminator_clipped(real, fake):
    real, fake = ops.clip(real, -15.0, 15.0), ops.clip(fake, -15.0, 15.0)
    return 0.5 * (ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake)))


ANSWERS = {
    "c03_best_constants": {
        "solution": lambda values: (np.mean(values), np.median(values)),
        "stub": lambda values: (..., ...),
        "wrong": [
            (lambda values: (np.median(values), np.mean(values)), "swapped"),
            (lambda values: (np.mean(values), np.mean(values)), "on either side"),
            (lambda values: (np.mean(values), 0.0), "most frequent"),
            (lambda values: (np.mean(values), values[len(values) // 2]), "sort the values"),
        ],
    },
    "c03_discriminator_loss": {
        "solution": lambda real, fake: 0.5 * (ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))),
        "stub": stub,
        "wrong": [
            (discriminator_naive, "rounds to 0 or 1"),
            (lambda real, fake: ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake)), "half of the sum"),
            (lambda real, fake: ops.mean(ops.softplus(-real)), "the half for fakes is missing"),
            (lambda real, fake: 0.5 * (ops.mean(ops.softplus(real)) + ops.mean(ops.softplus(-fake))), "swapped"),
            (discriminator_clipped, "logits of -20"),
        ],
    },
    "c03_normalise": {
        "solution": lambda f: f / np.sqrt(np.sum(f**2, axis=-1, keepdims=True) + 1e-10),
        "stub": stub,
        "wrong": [
            (lambda f: f / np.sqrt(np.sum(f**2, axis=(1, 2), keepdims=True) + 1e-10), "over the positions"),
            (lambda f: f / np.sqrt(np.sum(f**2, axis=-1, keepdims=True)), "NaN"),
            (lambda f: f / np.sqrt(np.sum(f**2, axis=(1, 2, 3), keepdims=True) + 1e-10), "the whole map"),
        ],
    },
    "c03_charbonnier": {
        "solution": lambda hr, sr, epsilon=1e-3: ops.mean(ops.sqrt(ops.square(hr - sr) + epsilon**2)),
        "stub": stub,
        "wrong": [
            (lambda hr, sr, epsilon=1e-3: ops.sqrt(ops.mean(ops.square(hr - sr)) + epsilon**2), "root of the mean"),
            (lambda hr, sr, epsilon=1e-3: ops.mean(ops.sqrt(ops.square(hr - sr) + epsilon)), "stands squared"),
            (lambda hr, sr, epsilon=1e-3: ops.mean(ops.abs(hr - sr)), "plain L1"),
        ],
    },
}
