"""Checks of chapter 03, losses."""

import numpy as np

from .. import runtime
from . import exercise, grade, near, numbers, require

CUT = "no gradient arrives: NumPy, float() and stop_gradient cut it off; compute with ops and return a tensor"


def value_and_slopes(answer, *given):
    """The loss `answer(*given)`, followed by all numbers of its gradients; infinity for an input that gets none."""
    tf = runtime.load_tensorflow()
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
def normalise(answer):
    """my_normalise(features): divide each position's vector by its length over channels; zeros stay zeros."""
    features = np.random.default_rng(3).random((2, 3, 4, 5)).astype("float32")
    dark, weak = features.copy(), features.copy()
    dark[0, 0, 0] = 0
    weak[0, 0, 1] *= -0.1  # of the other sign, too

    def by(features, axis, small=1e-12):
        return features / np.sqrt(np.sum(features**2, axis=axis, keepdims=True) + small)

    grade(
        answer,
        lambda features: by(features, -1),
        [
            (
                lambda x: by(x, (1, 2)),
                "you normalised each channel over the positions; each position should get length 1 over its channels",
            ),
            (
                lambda x: by(x, (1, 2, 3)),
                "you divided by the length of the whole map; each position has its own length",
            ),
            (lambda x: by(x, 0), "you normalised over the images of the batch; the channels are the last axis"),
            (
                lambda x: x / np.sum(x**2, -1, keepdims=True),
                "you divided by the squared length; take the square root",
            ),
            (
                lambda x: x / np.sum(x, -1, keepdims=True),
                "you divided by the sum of the channels; the length is the root of the sum of squares",
            ),
            (
                lambda x: by(x, -1, small=0),
                "a position where no channel answers gives 0/0 = NaN; add a small number under the root",
            ),
            (lambda x: np.abs(by(x, -1)), "negative features lost their sign: square for the length only"),
        ],
        *[(features,), (dark,), (weak,)],
        near=lambda value, right: near(value, right, atol=5e-3),
        hint="each position by itself gets length 1, a weak one, too: 1e-10 under the root is small enough",
    )


@exercise
def charbonnier(answer):
    """charbonnier(hr, sr, epsilon) -> mean of sqrt(difference^2 + epsilon^2)."""
    hr, sr = np.random.default_rng(4).random((2, 2, 4, 6, 3)).astype("float32")
    grade(
        lambda hr, sr, epsilon: value_and_slopes(lambda x, y: answer(x, y, epsilon), hr, sr)[0],
        lambda hr, sr, epsilon: np.sqrt((hr - sr) ** 2 + epsilon**2).mean(),
        [
            (
                lambda x, y, e: np.sqrt(np.mean((x - y) ** 2) + e**2),
                "you took the root of the mean: take the root at each pixel, then the mean",
            ),
            (
                lambda x, y, e: np.sqrt((x - y) ** 2 + e).mean(),
                "epsilon stands squared under the root; only then it is a difference in pixel units",
            ),
            (lambda x, y, e: np.abs(x - y).mean(), "epsilon is not used: this is plain L1"),
            (
                lambda x, y, e: np.sqrt((x - y) ** 2 + e**2).sum(),
                "this is the sum; take the mean, so that the loss does not grow with the image",
            ),
        ],
        *[(hr, sr, 0.1), (hr, hr, 1e-3)],
    )
    slopes = value_and_slopes(lambda x, y: answer(x, y, 0.1), hr, sr)[1:]
    require(np.all(np.isfinite(slopes)), CUT)
