"""Answers to the exercises of chapter 02: (check, answer, what the verdict holds)."""

import numpy as np

from srlib import runtime


def parameters(k, c, f):
    return (k * k * c + 1) * f


def shuffle_in_a_loop(x, r, dtype="float32"):
    h, w, channels = x.shape
    result = np.zeros((h * r, w * r, channels // r**2), dtype)
    for a in range(r):
        for b in range(r):
            first = (a * r + b) * result.shape[-1]
            result[a::r, b::r] = x[..., first : first + result.shape[-1]]
    return result


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


def affine(f, a, b, points=(0.5,), tolerance=1e-4, relative=True, measure=np.abs):
    """The solution with knobs: where between a and b, how exact, and what is measured of a gap."""
    f_a, f_b = np.asarray(f(a)), np.asarray(f(b))
    size = max(np.abs(f_a).max(), np.abs(f_b).max()) if relative else 1
    gaps = [f(t * a + (1 - t) * b) - (t * f_a + (1 - t) * f_b) for t in points]
    return bool(max(np.max(measure(gap)) for gap in gaps) <= tolerance * size)


def affine_in_place(f, a, b):
    f_a, f_b = f(a), f(b)
    a += b
    a /= 2
    return bool(np.abs(f(a) - (f_a + f_b) / 2).max() <= 1e-4 * np.abs(f_b).max())


ANSWERS = [
    ("c02.conv_parameters", lambda k, c, f: np.float32(parameters(k, c, f)), "Correct."),
    ("c02.conv_parameters", lambda k, c, f: f * c * k**2 + f, "Correct."),
    ("c02.conv_parameters", lambda k, c, f: k * k * c * f, "biases are missing"),
    ("c02.conv_parameters", lambda k, c, f: (k * k + 1) * f, "input channels"),
    ("c02.conv_parameters", lambda k, c, f: parameters(k, c, f) + 1, "is 15617; expected 15616"),
    (
        "c02.pixel_shuffle",
        lambda x, r: runtime.load_tensorflow().nn.depth_to_space(x[None], r)[0],
        "Correct.",
    ),
    ("c02.pixel_shuffle", shuffle_in_a_loop, "Correct."),
    ("c02.pixel_shuffle", lambda x, r: shuffle_in_a_loop(x, r, "int64"), "dtype=x.dtype"),
    ("c02.pixel_shuffle", lambda x, r: x.reshape(len(x) * r, x.shape[1] * r, -1), "reshape alone"),
    ("c02.pixel_shuffle", lambda x, r: shuffle_in_a_loop(x.swapaxes(0, 1), r).swapaxes(0, 1), "swapped"),
    ("c02.pixel_shuffle", lambda x, r: shuffle_in_a_loop(x, r) + 1, "only moves numbers"),
    ("c02.receptive_field", lambda stack: field_popping(list(stack)), "Correct."),
    ("c02.receptive_field", field_popping, "changed its input"),
    ("c02.receptive_field", lambda stack: 1 + sum(k - 1 for k, _ in stack), "strides are ignored"),
    ("c02.receptive_field", lambda stack: sum(k for k, _ in stack), "kernel - 1"),
    ("c02.receptive_field", lambda stack: field(stack, own=True), "own stride"),
    ("c02.receptive_field", lambda stack: field(list(reversed(stack))), "reversed list"),
    ("c02.is_affine", lambda f, a, b: np.asarray(affine(f, a, b)), "Correct."),
    ("c02.is_affine", lambda f, a, b: runtime.load_tensorflow().constant(affine(f, a, b)), "Correct."),
    ("c02.is_affine", lambda f, a, b: affine(f, a, b, points=(0.25, 0.6)), "Correct."),
    ("c02.is_affine", lambda f, a, b: bool(np.allclose(f(a + b), f(a) + f(b), 1e-3, 1e-3)), "Use the midpoint"),
    ("c02.is_affine", lambda f, a, b: affine(f, a, b, tolerance=0), "tolerance"),
    ("c02.is_affine", lambda f, a, b: affine(f, a, b, tolerance=1e-2, relative=False), "relative"),
    ("c02.is_affine", lambda f, a, b: True, "not affine"),
    ("c02.is_affine", lambda f, a, b: affine(f, a, b, measure=lambda gap: gap), "absolute difference"),
    ("c02.is_affine", lambda f, a, b: affine(f, a, b, tolerance=0.2), "be stricter"),
    ("c02.is_affine", lambda f, a, b: affine(f, a, b, measure=lambda gap: np.abs(gap.mean())), "gaps cancel"),
    ("c02.is_affine", lambda f, a, b: affine(lambda x: np.ravel(f(x))[-1:], a, b), "whose first values"),
    ("c02.is_affine", lambda f, a, b: affine(lambda x: np.ravel(f(x))[:1], a, b), "of all values"),
    ("c02.is_affine", lambda f, a, b: affine(f, -a, b), "test between a and b"),
    ("c02.is_affine", lambda f, a, b: int(affine(f, a, b)), "True or False"),
    ("c02.is_affine", affine_in_place, "changed its input"),
]
