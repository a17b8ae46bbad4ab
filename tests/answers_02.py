"""Answers to the exercises of chapter 02: solution, stub and typical wrong answers with what the check says."""

import numpy as np


def parameters(k, c, f):
    return (k * k * c + 1) * f


def shuffle(x, r):
    h, w, channels = x.shape
    return x.reshape(h, w, r, r, channels // r**2).transpose(0, 2, 1, 3, 4).reshape(h * r, w * r, -1)


def shuffle_swapped(x, r):
    h, w, channels = x.shape
    return x.reshape(h, w, r, r, channels // r**2).transpose(0, 3, 1, 2, 4).reshape(h * r, w * r, -1)


def shuffle_torch(x, r):
    h, w, channels = x.shape
    return x.reshape(h, w, channels // r**2, r, r).transpose(0, 3, 1, 4, 2).reshape(h * r, w * r, -1)


def shuffle_reshape(x, r):
    h, w, channels = x.shape
    return x.reshape(h * r, w * r, channels // r**2)


def shuffle_stub(x, r):
    h, w, channels = x.shape
    ...


def field(stack):
    size, jump = 1, 1
    for kernel, stride in stack:
        size += (kernel - 1) * jump
        jump *= stride
    return size


def field_no_stride(stack):
    return 1 + sum(kernel - 1 for kernel, _ in stack)


def field_late(stack):
    size, jump = 1, 1
    for kernel, stride in stack:
        jump *= stride
        size += (kernel - 1) * jump
    return size


def affine(f, a, b):
    f_a, f_b, middle = np.asarray(f(a)), np.asarray(f(b)), np.asarray(f((a + b) / 2))
    size = max(np.abs(f_a).max(), np.abs(f_b).max(), np.abs(middle).max())
    return bool(np.abs(middle - (f_a + f_b) / 2).max() <= 1e-4 * size)


def affine_linear(f, a, b):
    return bool(np.allclose(f(a + b), f(a) + f(b), rtol=1e-3, atol=1e-3))


def affine_exact(f, a, b):
    return bool(np.all(f((a + b) / 2) == (f(a) + f(b)) / 2))


def affine_signed(f, a, b):
    middle, mean = f((a + b) / 2), (f(a) + f(b)) / 2
    return bool((middle - mean).max() <= 1e-4 * np.abs(mean).max())


def affine_in_place(f, a, b):
    f_a, f_b = f(a), f(b)
    a += b
    a /= 2
    return bool(np.abs(f(a) - (f_a + f_b) / 2).max() <= 1e-4 * np.abs(f_b).max())


def affine_lax(f, a, b):
    middle, mean = f((a + b) / 2), (f(a) + f(b)) / 2
    return bool(np.abs(middle - mean).max() <= 0.2 * np.abs(mean).max())


def affine_mean(f, a, b):
    middle, mean = f((a + b) / 2), (f(a) + f(b)) / 2
    return bool(np.abs(np.mean(middle - mean, dtype="float64")) <= 1e-6 * np.abs(mean).max())


def affine_absolute(f, a, b):
    return bool(np.abs(f((a + b) / 2) - (f(a) + f(b)) / 2).max() < 1e-2)


ANSWERS = {
    "c02_conv_parameters": {
        "solution": parameters,
        "right": [lambda k, c, f: np.array(parameters(k, c, f))],
        "stub": lambda k, c, f: ...,
        "wrong": [(lambda k, c, f: k * k * c * f, "biases are missing"), (lambda k, c, f: (k * k + 1) * f, "input channels")],
    },
    "c02_pixel_shuffle": {
        "solution": shuffle,
        "stub": shuffle_stub,
        "wrong": [(shuffle_swapped, "rows and columns are swapped"), (shuffle_torch, "channels are mixed"), (shuffle_reshape, "reshape alone")],
    },
    "c02_receptive_field": {
        "solution": field,
        "stub": lambda stack: ...,
        "wrong": [(field_no_stride, "strides are ignored"), (lambda stack: sum(k for k, _ in stack), "kernel - 1"), (field_late, "own stride")],
    },
    "c02_is_affine": {
        "solution": affine,
        "right": [lambda f, a, b: np.asarray(affine(f, a, b)), lambda f, a, b: bool(np.allclose(f(0.25 * a + 0.75 * b), 0.25 * f(a) + 0.75 * f(b), rtol=1e-4, atol=1e-4 * np.abs(f(b)).max()))],
        "stub": lambda f, a, b: ...,
        "wrong": [(affine_linear, "midpoint"), (affine_exact, "tolerance"), (affine_absolute, "relative"), (lambda f, a, b: True, "not affine"), (affine_signed, "absolute difference"), (affine_lax, "be stricter"), (affine_mean, "gaps cancel"), (lambda f, a, b: affine(lambda x: np.ravel(f(x))[-1:], a, b), "whose first values"), (lambda f, a, b: affine(f, -a, b), "test between a and b"), (affine_in_place, "changed its input")],
    },
}
