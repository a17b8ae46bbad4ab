"""Checks of chapter 02, architecture."""

import math
import reprlib

import numpy as np

from ..backend import keras
from . import exercise, grade, require


@exercise
def conv_parameters(answer):
    """conv_parameters(kernel_size, channels_in, channels_out) -> number of parameters with biases."""
    per_input = "you add one bias per input channel; there is one per filter"
    grade(
        answer,
        lambda kernel_size, channels_in, channels_out: (kernel_size**2 * channels_in + 1) * channels_out,
        [
            (lambda k, c, f: (k * k * c * f, f), "you return two numbers; return one, weights and biases together"),
            (lambda k, c, f: k * k * c * f, "the biases are missing, one per filter"),
            (lambda k, c, f: k * k * c * f + 1, "you add one bias for all; there is one per filter"),
            (lambda k, c, f: k * k * c * f + c, per_input),
            (lambda k, c, f: (k * k * c + c) * f, per_input),
            (lambda k, c, f: k * k * (c + 1) * f, "a bias is one number per filter, not a whole kernel"),
            (lambda k, c, f: k * k * f, "each filter spans all input channels; you count one"),
            (lambda k, c, f: (k * k + 1) * f, "each filter spans all input channels; you count one"),
            (lambda k, c, f: (k * c + 1) * f, "the kernel has k x k positions; you count only one side of it"),
            (lambda k, c, f: (2 * k * c + 1) * f, "the kernel has k x k positions, k**2; you count 2 k"),
        ],
        *[(9, 3, 64), (3, 5, 7), (1, 64, 32)],
    )


@exercise
def receptive_field(answer):
    """receptive_field(stack), a list of (kernel_size, stride) -> receptive field in input pixels."""

    def field(stack, own=0):  # own=1: a layer's own stride counts, too
        strides = [stride for _, stride in stack]
        return 1 + sum((kernel - 1) * math.prod(strides[: i + own]) for i, (kernel, _) in enumerate(stack))

    stacks = [
        [(5, 1)],
        [(9, 1), (1, 1), (5, 1)],
        [(4, 2)] * 4,
        [(3, 2), (3, 1)],
        [(3, 1), (5, 2), (3, 2), (1, 1)],
        [(5, 3), (3, 1), (7, 4), (3, 1)],
    ]
    grade(
        answer,
        lambda stack: field(stack),
        [
            (
                lambda stack: sum(kernel for kernel, _ in stack),
                "you add the kernel sizes; neighbouring windows overlap, so a layer adds kernel - 1",
            ),
            (lambda stack: field(stack) - 1, "one too small: the pixel itself is missing; start from 1"),
            (
                lambda stack: field(stack[::-1]),
                "that is right for the reversed list: the first layer stands at the input, "
                "and its stride spreads those behind it",
            ),
            (
                lambda stack: field([(kernel, 1) for kernel, _ in stack]),
                "strides are ignored, but behind a stride of 2 each step is two input pixels",
            ),
            (
                lambda stack: field(stack, own=1),
                "a layer's own stride spreads the layers behind it, not itself",
            ),
        ],
        *[(stack,) for stack in stacks],
        hint="a layer adds (kernel - 1) times the product of all strides before it",
    )


@exercise
def sees(answer):
    """my_discriminator() -> the small discriminator, with a mean logit that depends on the images of a batch."""
    model, rng = answer(), np.random.default_rng(0)
    require(
        isinstance(model, keras.Model),
        f"the result is {reprlib.repr(model)}; replace the dots, and return the model",
    )
    require(
        model.count_params() == 5233,
        f"your model has {model.count_params():,} parameters, expected 5,233: a LeakyReLU has none, so keep every "
        "other layer as it is",
    )
    require(
        getattr(model.layers[-1], "activation", None) is keras.activations.linear,
        "the model does not end in the dense layer without activation: the loss takes the logit as it is, so the "
        "LeakyReLU belongs further up",
    )
    model.set_weights([w + (w.ndim == 1) * rng.uniform(0, 0.5, w.shape) for w in model.get_weights()])
    noise = rng.random((8, 32, 32, 3), dtype="float32")
    smooth = noise[:, :1, :1] * np.linspace(0, 1, 32, dtype="float32")[:, None, None]  # from black to one colour
    means = [float(np.mean(model(np.broadcast_to(x, noise.shape), training=True))) for x in (noise, smooth)]
    require(
        abs(means[0] - means[1]) > 1e-4,
        f"still blind: in training mode the mean logit is {means[0]:.5f} for noise and {means[1]:.5f} for smooth "
        "images. Between the last BatchNorm and the pooling stands no activation; one that is only created does not "
        "count",
    )
