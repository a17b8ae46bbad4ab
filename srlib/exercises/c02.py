"""Checks of chapter 02, architecture."""

import math
import reprlib

import numpy as np

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
def pixel_shuffle(answer):
    """my_pixel_shuffle(x, r): rearrange (h, w, C r^2) to (r h, r w, C), the channel (a r + b) C + c to (a, b, c)."""

    def move(x, r, order=(0, 2, 1, 3, 4), last=True):
        h, w, channels = x.shape
        inside = (r, r, channels // r**2) if last else (channels // r**2, r, r)
        return x.reshape(h, w, *inside).transpose(order).reshape(h * r, w * r, -1)

    grade(
        answer,
        lambda x, r: move(x, r),
        [
            (
                lambda x, r: move(x, r, range(5)),
                "the shape is right, but reshape alone keeps the order of memory: transpose in between",
            ),
            (
                lambda x, r: move(x, r, (0, 3, 1, 2, 4)),
                "the shape is right, but rows and columns are swapped inside each block",
            ),
            (
                lambda x, r: move(x, r, (0, 3, 1, 4, 2), last=False),
                "one channel works, but with two the channels are mixed: C is the fastest axis, (a r + b) C + c",
            ),
            (
                lambda x, r: move(x, r) // 1,
                "the order is right, but the numbers are whole ones now, and an image in [0, 1] turns black: "
                "create the new array with dtype=x.dtype",
            ),
        ],
        *[(np.arange(6 * c * r * r, dtype="float32").reshape(2, 3, -1) / 10, r) for r, c in ((2, 1), (3, 2))],
        hint="pixel shuffle only moves numbers",
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
def is_affine(answer):
    """is_affine(f, a, b) -> bool, the midpoint test."""
    rng = np.random.default_rng(0)
    matrix, a, b, wide = (rng.normal(size=shape).astype("float32") for shape in ((200, 3), (200,), (200,), (200, 300)))

    def leaky(x):
        return np.where(x > 0, x, 0.2 * x) @ matrix

    yes, no = "is affine, but you reject it:", "is not affine, but you accept it:"
    relative = "make the tolerance relative to the size of the values"
    cases = [
        (lambda x: 2 * x, True, f"2 x {yes} compare the value at the midpoint with the mean of the values at a and b"),
        (
            lambda x: x @ matrix,
            True,
            f"x @ matrix {yes} where 2 x passes, it is the rounding of float32; compare with a tolerance",
        ),
        (
            lambda x: x @ matrix + 5,
            True,
            f"x @ matrix + 5 {yes} that test is for linear functions. Use the midpoint",
        ),
        (lambda x: 1e3 * (x @ matrix), True, f"1000 x @ matrix {yes} {relative}"),
        (
            lambda x: (x @ matrix)[None],
            True,
            f"x @ matrix of shape (1, 3) {yes} f may return an array of any shape, such as a network's (1, 1)",
        ),
        (
            lambda x: np.full(3, np.float32(5)),
            True,
            f"a constant {yes} f(a) - f(b) is 0 there; measure the size by the values, not by their difference",
        ),
        (leaky, False, f"LeakyReLU followed by a matrix {no} compare the value at the midpoint with the mean"),
        (
            np.abs,
            False,
            f"|x| {no} its value at the midpoint is too *small*; take the absolute difference, of all values",
        ),
        (
            lambda x: np.concatenate([np.abs(x), -np.abs(x)]),
            False,
            f"(|x|, -|x|) {no} its two gaps cancel. Take absolute values before you add up or average",
        ),
        (
            lambda x: np.concatenate([leaky(x), x]),
            False,
            f"a function whose first values alone bend {no} compare all values of f, not one of them",
        ),
        (
            lambda x: np.concatenate([x, leaky(x)]),
            False,
            f"a function whose last values alone bend {no} compare all values of f, not one of them",
        ),
        (
            lambda x: (x + 0.02 * np.abs(x)) @ matrix,
            False,
            f"(x + 0.02 |x|) @ matrix {no} float32 rounds in the seventh digit, so be stricter",
        ),
        (lambda x: 1e-6 * leaky(x), False, f"1e-6 LeakyReLU {no} {relative}"),
        (
            lambda x: np.abs(x - np.minimum(a, b)),
            True,
            f"between two positive arrays |x| {yes} test between a and b, not elsewhere or beyond them",
        ),
        (
            lambda x: np.concatenate([x @ wide, -(x @ wide)]),
            True,
            f"(x @ matrix, -x @ matrix) with 600 values {yes} a value near 0 carries the rounding of large terms, and "
            "the mean of all is near 0. Compare the largest gap with the largest absolute value "
            "(np.allclose compares each value with itself)",
        ),
    ]
    for f, truth, sentence in cases:
        said = answer(f, a, b)
        require(
            np.shape(said) == () and np.asarray(said).dtype == bool,
            f"the result is {reprlib.repr(said)}; replace the dots, and return one True or False",
        )
        require(said == truth, sentence)
