"""Answers to the exercises of chapter 02: (check, answer, what the verdict holds)."""

import numpy as np

from srlib import runtime


def parameters(k, c, f):
    return (k * k * c + 1) * f


def field(stack, own=False):
    size, jump = 1, 1
    for kernel, stride in stack:
        jump *= stride if own else 1
        size += (kernel - 1) * jump
        jump *= 1 if own else stride
    return size


def field_popping(stack):
    size = 1
    while stack:
        kernel, stride = stack.pop()
        size = (size - 1) * stride + kernel
    return size


def discriminator(extra=("", "LeakyReLU"), norm=True, **ending):
    """The small discriminator. extra: the kind of layer behind each BatchNorm; ending: of the dense layer."""
    runtime.load_tensorflow()
    from keras import Input, Sequential, layers

    model = Sequential([Input((None, None, 3)), layers.Conv2D(16, 3, padding="same"), layers.LeakyReLU(0.2)])
    for kind in extra:
        model.add(layers.Conv2D(16, 3, 2, padding="same"))
        for name in ["BatchNormalization"] * norm + [kind] * bool(kind):
            model.add(getattr(layers, name)())
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(1, **ending))
    return model


ANSWERS = [
    ("c02.conv_parameters", lambda k, c, f: np.float32(parameters(k, c, f)), "Correct."),
    ("c02.conv_parameters", lambda k, c, f: f * c * k**2 + f, "Correct."),
    ("c02.conv_parameters", lambda k, c, f: k * k * c * f, "biases are missing"),
    ("c02.conv_parameters", lambda k, c, f: (k * k + 1) * f, "input channels"),
    ("c02.conv_parameters", lambda k, c, f: parameters(k, c, f) + 1, "is 15617; expected 15616"),
    ("c02.receptive_field", lambda stack: field_popping(list(stack)), "Correct."),
    ("c02.receptive_field", field_popping, "changed its input"),
    ("c02.receptive_field", lambda stack: 1 + sum(k - 1 for k, _ in stack), "strides are ignored"),
    ("c02.receptive_field", lambda stack: sum(k for k, _ in stack), "kernel - 1"),
    ("c02.receptive_field", lambda stack: field(stack, own=True), "own stride"),
    ("c02.receptive_field", lambda stack: field(list(reversed(stack))), "reversed list"),
    ("c02.sees", discriminator, "Correct."),
    ("c02.sees", lambda: discriminator(("ReLU", "ReLU")), "Correct."),
    ("c02.sees", lambda: discriminator(("", "")), "still blind"),
    ("c02.sees", lambda: discriminator(("LeakyReLU", "")), "still blind"),
    ("c02.sees", lambda: discriminator(norm=False), "a LeakyReLU has none"),
    ("c02.sees", lambda: discriminator(("", ""), activation="sigmoid"), "further up"),
    ("c02.sees", lambda: ..., "replace the dots"),
]
