"""Checks of chapter 03, losses."""

import functools

import numpy as np

from ..backend import tf
from . import exercise, grade, near, numbers, require

CUT = "no gradient arrives: NumPy, float() and stop_gradient cut it off; compute with ops and return a tensor"


def value_and_slopes(answer, *given):
    """The loss `answer(*given)`, followed by all numbers of its gradients; infinity for an input that gets none."""
    given = [tf.Variable(np.float32(part)) for part in given]
    with tf.GradientTape() as tape:
        value = answer(*given)
    numbers(value, (), "the loss")
    require(tf.is_tensor(value), CUT)
    slopes = [np.inf if slope is None else tf.convert_to_tensor(slope) for slope in tape.gradient(value, given)]
    return np.hstack([np.ravel(part) for part in (value, *slopes)])


@exercise
def best_constants(answer):
    """best_constants(values) -> the constant with the lowest squared error, and the one with the lowest absolute error.

    A search on a grid of a hundred steps over the values is exact enough.
    """
    cases = [
        (np.array([0.9, 0, 0.2, 0, 0.1]),),
        (np.array([1.7, 0.9, 2.6, 1.3, 1.5, 1.45, 1.4]),),  # no search in [0, 1] and no trimmed mean fits these, too
    ]

    def part(i):
        return lambda values: numbers(answer(values), (2,))[i]

    grade(
        part(0),
        lambda values: np.mean(values),
        [
            (np.median, "the first number is best for the absolute error, not for the squared one: are they swapped?"),
            (
                lambda values: (np.min(values) + np.max(values)) / 2,
                "half-way between the extremes is best for the largest error, not for the squared error",
            ),
        ],
        *cases,
        near=lambda value, right: near(value, right, atol=0.01),
        name="the first number",
        hint="set the derivative of the squared error to zero",
    )
    grade(
        part(1),
        lambda values: np.median(values),
        [
            (
                np.mean,
                "one value, 0.9, moved your second number: "
                "the absolute error only counts how many values lie on either side",
            ),
            (
                lambda values: values[len(values) // 2],
                "your second number stands in the middle of the list; sort the values before you take the middle one",
            ),
            (
                lambda values: max(values, key=list(values).count),
                "your second number is the most frequent value; the absolute error wants half of the values "
                "on either side",
            ),
        ],
        *cases,
        near=lambda value, right: near(value, right, atol=0.01),
        name="the second number",
        hint="as many values lie below the best one as above it",
    )


@exercise
def discriminator_loss(answer):
    """my_discriminator_loss(real_logits, fake_logits): stable cross-entropy, ln 2 at a draw; batches of equal size."""
    real, fake = np.float32([[1.5], [-0.5], [0.2]]), np.float32([[-2], [0.3], [1]])
    patches = [np.repeat(logits, 6, axis=1).reshape(-1, 2, 3, 1) for logits in (real, fake)]

    def entropy(x):
        return np.logaddexp(0, x)

    grade(
        lambda real, fake: value_and_slopes(answer, real, fake)[0],
        lambda real, fake: 0.5 * (entropy(-real).mean() + entropy(fake).mean()),
        [
            (
                lambda x, y: entropy(-x).mean() + entropy(y).mean(),
                "a judge who guesses gets 2 ln 2 = 1.386: take half of the sum of the two parts",
            ),
            (lambda x, y: -0.5 * (entropy(-x).mean() + entropy(y).mean()), "the loss is negative: check the signs"),
            (lambda x, y: 0.5 * (entropy(-x).sum() + entropy(y).sum()), "that is a sum; take the mean of each part"),
            (
                lambda x, y: 0.5 * (entropy(-x).sum() / len(x) + entropy(y).sum() / len(y)),
                "right for one logit an image, wrong for maps of 2x3 logits, (N, 2, 3, 1): take the mean over all axes",
            ),
            (
                lambda x, y: 0.5 * (entropy(x).mean() + entropy(-y).mean()),
                "real and fake are swapped: a high logit means real",
            ),
            (lambda x, y: entropy(-x).mean(), "the half for fakes is missing: you judge the real images alone"),
            (lambda x, y: entropy(y).mean(), "the half for real images is missing: you judge the fakes alone"),
        ],
        (np.zeros((4, 1), "float32"), np.zeros((4, 1), "float32")),
        (real, fake),
        patches,
        near=lambda value, right: near(value, right, atol=1e-4),
        hint="half of the sum of two means, and ln 2 = 0.693 for a judge who guesses",
    )
    grade(
        lambda real: value_and_slopes(answer, [[real]], [[-real]]),
        lambda real: [max(-real, 0), -0.5 * (real < 0), 0.5 * (real < 0)],
        [
            (lambda x: [max(-x, 0), np.inf, 0.5 * (x < 0)], CUT),
            (lambda x: [max(-x, 0), -0.5 * (x < 0), np.inf], CUT),
            (lambda x: [max(-x, 0), np.inf, np.inf], CUT),
            (
                lambda x: [max(-x, 0), np.nan, np.nan],
                "at logits of 200 the loss is right but the gradient is NaN: "
                "exp overflows, and `where` computes both branches",
            ),
            (
                lambda x: [max(-x, 0), 0, 0],
                "where D is most wrong the loss is right but its gradient is 0: clipping throws it away",
            ),
        ],
        *[(-20,), (-200,), (20,), (200,)],  # D is wrong, then right; the logits of fakes have the other sign
        near=lambda value, right: near(value, right, atol=1e-3),
        name="[the loss, its gradient by real_logits, by fake_logits]",
        hint="in float32 sigmoid rounds to 0 or 1, and exp overflows. Use softplus, or a cross-entropy from logits",
    )


@exercise
def adversarial_weight(answer):
    """my_adversarial_weight(pixel_norm, adversarial_norm, share, pixel_weight) -> the weight of the adversarial term.

    The norms are those of both gradients without weights; the term pulls with `share`, the pixel term with the rest.
    """
    grade(
        lambda *given: numbers(answer(*given), ()),
        lambda pixel_norm, adversarial_norm, share, pixel_weight: (
            pixel_weight * pixel_norm / adversarial_norm * share / (1 - share)
        ),
        [
            (
                lambda p, a, s, w: p / a * s / (1 - s),
                "the pixel term's weight is missing: its pull is that weight times its norm",
            ),
            (
                lambda p, a, s, w: w * p / a * s,
                "you took the share of the pixel term's pull; the two pulls are to each other as share to 1 - share",
            ),
            (
                lambda p, a, s, w: w * a / p * s / (1 - s),
                "the norms are upside down: a term with a long gradient needs a small weight",
            ),
            (
                lambda p, a, s, w: w * p / a * (1 - s) / s,
                "share and 1 - share are swapped: the pixel term gets what was meant for the adversarial one",
            ),
            (lambda p, a, s, w: w * s / (1 - s), "you shared out the weights; what pulls is weight times norm"),
        ],
        *[(0.0006, 0.012, 0.1, 3.2), (0.0006, 0.012, 0.5, 1.0), (2.0, 0.5, 0.25, 2.0)],
        near=lambda value, right: near(value, right, rtol=1e-3),
        name="the weight",
        hint="weight * adversarial_norm is to pixel_weight * pixel_norm as share to 1 - share",
    )


@exercise
def generator_step(answer):
    """my_generator_step(generator, discriminator, optimizer, lr, hr, weight) -> the loss, after one step of training.

    The loss is MSE + weight * the non-saturating loss. Judged by which weights have moved, and how far.
    """
    lr, hr = np.random.default_rng(5).random((2, 4, 8, 8, 3), "float32")
    kernels = [np.random.default_rng(6).normal(0, 0.7, (3, count)) for count in (3, 1)]

    def change(step, weight):
        """The loss that `step` returns and how it changes the weights: of the generator (9), the discriminator (3)."""
        networks = [
            tf.keras.Sequential(
                [
                    tf.keras.Input((8, 8, 3)),
                    tf.keras.layers.Dense(
                        kernel.shape[1], use_bias=False, kernel_initializer=tf.keras.initializers.Constant(kernel)
                    ),
                ]
            )
            for kernel in kernels
        ]
        return np.hstack(
            [
                numbers(step(*networks, tf.keras.optimizers.SGD(1.0), lr, hr, weight), (), "the loss"),
                *[np.ravel(network.get_weights()[0] - old) for network, old in zip(networks, kernels)],
            ]
        )

    def step(moving, pixel, sign, wish, power, generator, discriminator, optimizer, lr, hr, weight):
        """A step: loss pixel * MSE + sign * weight^power * softplus(-wish * logit) that moves some networks."""
        with tf.GradientTape() as tape:
            sr = generator(lr)
            softplus = tf.reduce_mean(tf.nn.softplus(-wish * discriminator(sr)))
            loss = pixel * tf.reduce_mean((hr - sr) ** 2) + sign * weight**power * softplus
        weights = [(generator, discriminator)[i].trainable_variables[0] for i in moving]
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    mistakes = {
        ((0, 1), 1, 1, 1, 1): "the discriminator has moved, too, and helped the generator: "
        "the list that you hand to the optimizer decides who moves",
        ((1,), 1, 1, 1, 1): "the discriminator has moved instead of the generator",
        (
            (0,),
            1,
            -1,
            -1,
            1,
        ): "that is log(1 - D), the saturating form, which hardly pulls where D is sure; take -log D",
        ((0,), 1, 1, -1, 1): "the label is wrong: you ask for results that D calls fake, and want them called real",
        ((0,), 1, 1, 1, 0): "the weight is not used",
        ((0,), 0, 1, 1, 1): "the MSE is missing: nothing says which face it is",
        ((0,), 1, 0, 1, 1): "the adversarial term is missing",
    }
    right, *wrong = [
        functools.partial(change, functools.partial(step, *how)) for how in [((0,), 1, 1, 1, 1), *mistakes]
    ]
    grade(
        functools.partial(change, answer),
        right,
        list(zip(wrong, mistakes.values())),
        *[(0.2,), (2.0,)],
        near=lambda value, right: near(value, right, rtol=1e-3, atol=1e-5),
        name="[the loss, 9 changes of the generator's weights, 3 of the discriminator's]",
        hint="take mse_loss(hr, sr) + weight * generator_loss(discriminator(sr)), differentiate it by the generator's "
        "trainable variables inside of a tape, and hand the gradients to the optimizer",
    )
