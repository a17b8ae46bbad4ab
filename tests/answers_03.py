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


def discriminator_overflows(real, fake):
    return 0.5 * (ops.mean(ops.log(1 + ops.exp(real)) - real) + ops.mean(fake + ops.log(1 + ops.exp(-fake))))


def discriminator_of_one_logit(real, fake):
    return 0.5 * (ops.sum(ops.softplus(-real)) / real.shape[0] + ops.sum(ops.softplus(fake)) / fake.shape[0])


def discriminator_branches(real, fake):
    def minus_log(x):
        return ops.where(x < -15.0, -x, ops.log1p(ops.exp(-x)))

    return 0.5 * (ops.mean(minus_log(real)) + ops.mean(minus_log(-fake)))


def normalise_all_or_nothing(f):
    norm = np.linalg.norm(f, axis=-1, keepdims=True)
    return f / (norm if (norm > 0).all() else norm + 1)


def normalise_in_place(f):
    f /= np.sqrt(np.sum(f**2, axis=-1, keepdims=True) + 1e-10)
    return f


ANSWERS = {
    "c03_best_constants": {
        "solution": lambda values: (np.mean(values), np.median(values)),
        "right": [
            lambda values: (ops.mean(values), ops.median(values)),
            lambda values: tf.stack([ops.mean(values), ops.median(values)]),
            lambda values: [np.mean(values), np.quantile(values, 0.5)],
        ],
        "stub": lambda values: (..., ...),
        "wrong": [
            (lambda values: (np.median(values), np.mean(values)), "swapped"),
            (lambda values: (np.mean(values), np.mean(values)), "on either side"),
            (lambda values: (np.mean(values), 0.0), "most frequent"),
            (lambda values: (np.mean(values), values[len(values) // 2]), "sort the values"),
            (lambda values: (np.mean(values), np.sort(values)[1:-1].mean()), "right for the first list"),
            (lambda values: (values.sort(), (np.mean(values), np.median(values)))[1], "changed its input"),
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
            (discriminator_overflows, "where D is right"),
            (discriminator_of_one_logit, "maps of 2x3 logits"),
            (discriminator_branches, "`where` computes both branches"),
            (lambda real, fake: 0.5 * (ops.mean(ops.softplus(-ops.stop_gradient(real))) + ops.mean(ops.softplus(fake))), "stop_gradient"),
            (lambda real, fake: np.mean(np.logaddexp(0, -real.numpy())) / 2 + np.mean(np.logaddexp(0, fake.numpy())) / 2, "cut the gradient off"),
        ],
    },
    "c03_normalise": {
        "solution": lambda f: f / np.sqrt(np.sum(f**2, axis=-1, keepdims=True) + 1e-10),
        "stub": stub,
        "wrong": [
            (lambda f: f / np.sqrt(np.sum(f**2, axis=(1, 2), keepdims=True) + 1e-10), "over the positions"),
            (lambda f: f / np.sqrt(np.sum(f**2, axis=-1, keepdims=True)), "NaN"),
            (lambda f: f / np.sqrt(np.sum(f**2, axis=(1, 2, 3), keepdims=True) + 1e-10), "the whole map"),
            (normalise_all_or_nothing, "one position of zeros changes the others"),
            (lambda f: np.abs(f) / np.sqrt(np.sum(f**2, axis=-1, keepdims=True) + 1e-10), "lost their sign"),
            (lambda f: f / np.maximum(np.linalg.norm(f, axis=-1, keepdims=True), 0.5), "small number is too large"),
            (normalise_in_place, "changed its input"),
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
