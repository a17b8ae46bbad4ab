"""Answers to the exercises of chapter 03: (check, answer, what the verdict holds)."""

import fractions

import numpy as np

from srlib import losses
from srlib.backend import keras, tf

ops = keras.ops


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


def adversarial_weight(pixel_norm, adversarial_norm, share, pixel_weight):
    return pixel_weight * pixel_norm / adversarial_norm * share / (1 - share)


def balanced(pixel_norm, adversarial_norm, share):
    norms = {"pixel": pixel_norm, "adversarial": adversarial_norm}
    return losses.balance(norms, {"pixel": 1 - share, "adversarial": share})


def step(
    pixel=losses.mse_loss, adversarial=losses.generator_loss, who=lambda g, d: g.trainable_variables, apply="apply"
):
    """A step of the generator with one part of it changed."""

    def answer(generator, discriminator, optimizer, lr, hr, weight):
        weights = who(generator, discriminator)
        with tf.GradientTape() as tape:
            sr = generator(lr, training=True)
            loss = pixel(hr, sr) + weight * adversarial(discriminator(sr, training=True))
        gradients = tape.gradient(loss, weights)
        if apply == "apply":
            optimizer.apply(gradients, weights)
        else:
            optimizer.apply_gradients(zip(gradients, weights))
        return loss

    return answer


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
    ("c03.adversarial_weight", adversarial_weight, "Correct."),
    ("c03.adversarial_weight", lambda *given: fractions.Fraction(adversarial_weight(*given)), "Correct."),
    ("c03.adversarial_weight", lambda p, a, s, w: w * balanced(p, a, s)["adversarial"], "Correct."),
    (
        "c03.adversarial_weight",
        lambda p, a, s, w: balanced(p, a, s)["adversarial"],
        "the pixel term's weight is missing",
    ),
    ("c03.adversarial_weight", lambda p, a, s, w: balanced(p, a, s), "return numbers"),
    ("c03.adversarial_weight", lambda p, a, s, w: w * p * s / a, "as share to 1 - share"),
    ("c03.adversarial_weight", lambda p, a, s, w: w * s / (1 - s), "weight times norm"),
    ("c03.adversarial_weight", lambda p, a, s, w: 0.2, "the weight is 0.2; expected 0.01777778"),
    ("c03.generator_step", step(), "Correct."),
    (
        "c03.generator_step",
        step(adversarial=lambda x: keras.losses.BinaryCrossentropy(from_logits=True)(ops.ones_like(x), x)),
        "Correct.",
    ),
    ("c03.generator_step", step(who=lambda g, d: g.trainable_weights, apply="apply_gradients"), "Correct."),
    ("c03.generator_step", step(who=lambda g, d: g.trainable_variables + d.trainable_variables), "decides who moves"),
    ("c03.generator_step", step(adversarial=lambda x: -ops.mean(ops.softplus(x))), "the saturating form"),
    ("c03.generator_step", step(adversarial=lambda x: ops.mean(ops.softplus(x))), "the label is wrong"),
    ("c03.generator_step", step(adversarial=lambda x: float(ops.mean(ops.softplus(-x)))), "inside of a tape"),
    ("c03.generator_step", step(pixel=losses.l1_loss), "take mse_loss"),
    (
        "c03.generator_step",
        lambda g, d, o, lr, hr, w: losses.mse_loss(hr, g(lr)) + w * losses.generator_loss(d(g(lr))),
        "hand the gradients to the optimizer",
    ),
]
