"""What the exercises call. Each check says in words what is wrong, within seconds, without a network.

A check prints "Correct." or "Not yet: ..." and never raises, so that a chapter runs to its end with
unsolved exercises. `check.verify` is the same check without the printing: it raises `Wrong`.
"""

import functools

import numpy as np


class Wrong(AssertionError):
    """An answer that is not right yet; the message says why."""


def exercise(check):
    """Turn a function that raises `Wrong` into a check that prints its verdict."""

    @functools.wraps(check)
    def tell(answer):
        try:
            check(answer)
        except Wrong as fault:
            print(f"Not yet: {fault}")
        except Exception as error:  # the learner's own code failed
            print(f"Not yet: your code raised {type(error).__name__}: {error}")
        else:
            print("Correct.")

    tell.verify = check
    return tell


def require(condition, message):
    """Raise `Wrong` with `message` unless `condition` holds."""
    if not condition:
        raise Wrong(message)


def require_array(value, shape, name="the result"):
    """`value` as a NumPy array of `shape`, or `Wrong` that says what it is instead."""
    require(value is not None and value is not Ellipsis, f"{name} is {value}; replace the dots with your code and return something")
    value = np.asarray(value)
    require(value.dtype.kind not in "OSU", f"{name} is {value.tolist()!r}; expected numbers")
    require(value.shape == tuple(shape), f"{name} has shape {value.shape}; expected {tuple(shape)}")
    require(np.all(np.isfinite(value)), f"{name} contains NaN or infinity")
    return value


def guarded(answer):
    """`answer`, as a function that may not change the arrays it is given."""

    def call(*arguments):
        before = [argument.copy() if isinstance(argument, np.ndarray) else None for argument in arguments]
        value = answer(*arguments)
        same = all(old is None or np.array_equal(old, new) for old, new in zip(before, arguments))
        require(same, "your function changed its input; calculate on a new array, without *=, out= or .sort()")
        return value

    return call


# --- 00 quickstart ---------------------------------------------------------------------------------


@exercise
def c00_share_lost(share_lost):
    """share_lost(factor) -> the share of numbers lost when both sides shrink by factor."""
    value = float(require_array(share_lost(4), ()))
    require(not np.isclose(value, 1 / 16), "that is the share that is kept; how much is lost?")
    require(not np.isclose(value, 3 / 4), "both sides shrink: height and width, so the factor counts twice")
    require(np.isclose(value, 15 / 16), f"for factor 4 you return {value:.4g}; expected 15 of 16 numbers, {15 / 16:.4g}")
    for factor in (2, 3):  # 4 and 2 alone cannot tell a square from a power of two
        value = float(share_lost(factor))
        require(np.isclose(value, 1 - factor**-2), f"right for factor 4, but for factor {factor} you return {value:.4g}")


@exercise
def c00_blend(blend):
    """blend(first, second, amount) -> the mixture of two images; 0 gives the first."""
    blend = guarded(blend)
    first, second = np.full((2, 5, 3), 0.2, "float32"), np.full((2, 5, 3), 0.6, "float32")
    value = require_array(blend(first, second, 0.25), first.shape)
    require(not np.allclose(value, 0.5), "the two are exchanged: amount 0 must give the first image")
    require(not np.allclose(value, 0.4), "you return the plain mean; use `amount`")
    require(not np.allclose(value, 0.35), "the second image is added to the whole first one: both shares must add up to one")
    require(np.allclose(value, 0.3), "a quarter of the way from 0.2 to 0.6 must be 0.3 everywhere: (1 - amount) first + amount second")
    require(np.allclose(blend(first, second, 1), second), "right for amount 0.25, but amount 1 must give the second image")
    first, second = np.random.default_rng(0).random((2, 2, 5, 3)).astype("float32")
    for amount in (0.0, 0.6, 1.0):
        value = require_array(blend(first, second, amount), first.shape)
        right = np.allclose(value, (1 - amount) * first + amount * second, atol=1e-5)
        require(right, f"right for two images of one even grey, wrong for coloured ones with amount {amount}: mix pixel by pixel and channel by channel, for every amount from 0 to 1")


@exercise
def c00_contradiction(contradiction):
    """contradiction(lr, sr) -> mean absolute difference in 8-bit levels after shrinking sr again."""
    from . import data

    contradiction, hr = guarded(contradiction), data.to_float(data.portraits()[0])[:, :96]  # 128x96: hides no exchanged sides
    lr = data.degrade(hr)
    sr = data.quantise(data.upscale(lr) + np.float32([0.05, 0, -0.1]))  # a tint: `sr` is not what `lr` alone would give
    value = float(require_array(contradiction(lr, sr), ()))
    difference = data.degrade(sr) - lr
    expected = float(np.abs(difference).mean() * 255)
    cancelled = 255 * np.array([difference.mean(), np.abs(difference.mean(axis=-1)).mean(), np.abs(difference.mean(axis=(0, 1))).mean()])
    wrapped = np.abs(data.to_uint8(data.degrade(sr)) - data.to_uint8(lr)).mean()
    require(not np.isclose(value, expected / 255), "right, but on the scale from 0 to 1; in 8-bit levels it is 255 times as much")
    require(not np.any(np.isclose(abs(value), np.abs(cancelled))), "positive and negative differences cancel: take the absolute value before the mean")
    require(not np.isclose(value, np.sqrt(np.mean(difference**2)) * 255), "that is the root of the mean square; the mean of the absolute values was asked for")
    require(not np.isclose(value, np.abs(data.degrade(data.upscale(lr)) - lr).mean() * 255), "your answer does not depend on `sr`: shrink the given result, not one of your own")
    require(not np.isclose(value, np.abs(data.upscale(lr) - sr).mean() * 255), "you enlarged lr; shrink sr instead, and compare at the small size")
    require(not np.isclose(value, np.abs(sr[::4, ::4] - lr).mean() * 255), "you picked every fourth pixel; that is another degradation. Use data.degrade")
    require(not np.isclose(value, wrapped) and not np.isclose(value, wrapped / 255), "uint8 wraps around: 3 - 5 is 254. Subtract floats")
    require(np.isclose(value, expected, rtol=1e-3), f"you return {value:.4g} levels; expected {expected:.4g}: shrink sr with data.degrade, subtract lr")


# --- 02 architecture -------------------------------------------------------------------------------


@exercise
def c02_conv_parameters(answer):
    """Exercise 02.1: a function (kernel_size, channels_in, channels_out) -> number of parameters with biases."""
    for k, c, f in ((9, 3, 64), (3, 5, 7), (1, 64, 32)):
        value, right = answer(k, c, f), (k * k * c + 1) * f
        require(value is not None and value is not Ellipsis, "the function returns nothing yet; replace the dots")
        require(np.shape(value) != (2,), f"you return {value}; return one number, weights and biases together")
        value = require_array(value, (), "the number").item()
        where = f"for a {k}x{k} convolution from {c} to {f} channels"
        mistakes = {
            k * k * c * f: "the biases are missing (one per filter)",
            k * k * c * f + 1: f"you add one bias for all; there is one per filter, {f} in all",
            k * k * c * f + c: f"you add one bias per input channel; there is one per filter, {f} in all",
            (k * k * c + c) * f: f"you add one bias per input channel; there is one per filter, {f} in all",
            k * k * (c + 1) * f: "a bias is one number per filter, not a whole kernel",
            k * k * f: f"each filter spans all {c} input channels; you count one",
            (k * k + 1) * f: f"each filter spans all {c} input channels; you count one",
            (k * c + 1) * f: f"the kernel has {k} x {k} positions; you count only one side of it",
            (2 * k * c + 1) * f: f"the kernel has {k} x {k} positions, k**2; you count 2 k",
        }
        require(value == right, f"{where} you return {value}, expected {right}; {mistakes.get(value, 'look again')}")


@exercise
def c02_pixel_shuffle(answer):
    """Exercise 02.2: a function (x, r) that rearranges (h, w, C r^2) to (r h, r w, C)."""
    answer = guarded(answer)
    for r, channels in ((2, 1), (3, 2)):
        h, w = 2, 3
        x = np.arange(h * w * r * r * channels, dtype="float32").reshape(h, w, -1)
        parts = x.reshape(h, w, r, r, channels)
        value = require_array(answer(x.copy(), r), (h * r, w * r, channels))
        swapped = parts.transpose(0, 3, 1, 2, 4).reshape(h * r, w * r, channels)
        other = x.reshape(h, w, channels, r, r).transpose(0, 3, 1, 4, 2).reshape(h * r, w * r, channels)
        right = parts.transpose(0, 2, 1, 3, 4).reshape(h * r, w * r, channels)
        plain = x.reshape(h * r, w * r, channels)
        require(not np.array_equal(value, plain), "the shape is right, but reshape alone keeps the order of memory: transpose in between")
        require(not np.array_equal(value, swapped), "the shape is right, but rows and columns are swapped inside each block")
        if channels > 1:
            require(not np.array_equal(value, other), "one channel works, but with two the channels are mixed: C is the fastest axis, (a r + b) C + c")
        same = np.array_equal(np.sort(value, axis=None), np.sort(x, axis=None))
        require(same, "the result does not hold the numbers of x, each once: pixel shuffle only moves numbers")
        require(np.array_equal(value, right), f"the shape is right, but the order is not: for r={r} the top left block should be {right[:r, :r, 0].tolist()}")
        require(value.dtype.kind == "f", f"the order is right, but float32 became {value.dtype}, where an image in [0, 1] turns black: create the new array with dtype=x.dtype")


@exercise
def c02_receptive_field(answer):
    """Exercise 02.3: a function (list of (kernel_size, stride)) -> receptive field in input pixels."""
    cases = ([(5, 1)], [(9, 1), (1, 1), (5, 1)], [(4, 2)] * 4, [(3, 2), (3, 1)], [(3, 1), (5, 2), (3, 2), (1, 1)], [(5, 3), (3, 1), (7, 4), (3, 1)])
    for stack in cases:
        given = list(stack)
        value, right, jump = answer(given), 1, 1
        require(value is not None and value is not Ellipsis, "the function returns nothing yet; replace the dots")
        value = require_array(value, (), "the field").item()
        require(given == stack, "your function changed the list it was given; go through it with `for`, without pop() or reverse()")
        for kernel, stride in stack:
            right += (kernel - 1) * jump
            jump *= stride
        if value != right:
            kernels = [kernel for kernel, _ in stack]
            require(value != sum(kernels), f"for {stack} you add the kernel sizes; neighbouring windows overlap, so a layer adds kernel - 1")
            require(value != right - 1, f"for {stack} you return {value}; the pixel itself is missing: start from 1")
            turned, jump = 1, 1
            for kernel, stride in reversed(stack):
                turned += (kernel - 1) * jump
                jump *= stride
            require(value != turned, f"for {stack} you return {value}, which is right for the reversed list: the first layer stands at the input, and its stride spreads those behind it")
            unstrided = 1 + sum(kernel - 1 for kernel in kernels)
            require(value != unstrided, f"for {stack} you return {value}: strides are ignored, but behind a stride of 2 each step is two input pixels")
            late, jump = 1, 1
            for kernel, stride in stack:
                jump *= stride
                late += (kernel - 1) * jump
            require(value != late, f"for {stack} you return {value}: a layer's own stride spreads the layers behind it, not itself")
            raise Wrong(f"for {stack} you return {value}; expected {right}: a layer adds (kernel - 1) times the product of all strides before it")


@exercise
def c02_is_affine(answer):
    """Exercise 02.4: a function (f, a, b) -> bool, the midpoint test."""
    answer, rng = guarded(answer), np.random.default_rng(0)
    matrix, a, b, wide = (rng.normal(size=shape).astype("float32") for shape in ((200, 3), (200,), (200,), (200, 300)))
    linear = answer(lambda x: x @ matrix, a, b)
    require(linear is not None and linear is not Ellipsis, "the function returns nothing yet; replace the dots")
    truth = np.shape(linear) == () and np.asarray(linear).dtype == bool
    require(truth, f"the function returns {type(linear).__name__}; return one True or False")
    exact = answer(lambda x: 2.0 * x, np.float32([1, 2]), np.float32([3, 5]))
    require(linear or not exact, "x @ matrix is called not affine, though 2 x passes: float32 rounds, so compare with a tolerance")
    require(linear, "x @ matrix is linear, hence affine, but you call it not affine")
    require(answer(lambda x: x @ matrix + 5, a, b), "x @ matrix + 5 is affine, but you reject it: that test is for linear functions. Use the midpoint")
    require(answer(lambda x: 1e3 * (x @ matrix), a, b), "1000 x @ matrix is affine, but you reject it: make the tolerance relative to the size of the values")
    require(answer(lambda x: (x @ matrix)[None], a, b), "x @ matrix of shape (1, 3) is affine, but you reject it: f may return an array of any shape, such as a network's (1, 1)")
    require(answer(lambda x: np.full(3, np.float32(5)), a, b), "a constant is affine, but you reject it: f(a) - f(b) is 0 there; measure the size by the values, not by their difference")
    leaky = lambda x: np.where(x > 0, x, 0.2 * x) @ matrix  # noqa: E731
    require(not answer(leaky, a, b), "LeakyReLU followed by a matrix is not affine, but you accept it")
    require(not answer(np.abs, a, b), "|x| is not affine, but you accept it: its value at the midpoint is too *small*; take the absolute difference, of all values")
    mirrored = lambda x: np.concatenate([np.abs(x), -np.abs(x)])  # noqa: E731
    require(not answer(mirrored, a, b), "(|x|, -|x|) is not affine, but you accept it: its two gaps cancel. Take absolute values before you add up or average")
    for where, partly in (("first", lambda x: np.concatenate([leaky(x), x])), ("last", lambda x: np.concatenate([x, leaky(x)]))):
        require(not answer(partly, a, b), f"a function whose {where} values alone bend is not affine, but you accept it: compare all values of f, not one of them")
    bent = lambda x: x @ matrix + 0.02 * np.abs(x) @ matrix  # noqa: E731
    require(not answer(bent, a, b), "x @ matrix + 0.02 |x| @ matrix bends by some percent, and you accept it: float32 rounds in the seventh digit, so be stricter")
    require(not answer(lambda x: 1e-6 * leaky(x), a, b), "1e-6 LeakyReLU is not affine, but you accept it: make the tolerance relative to the size of the values")
    require(answer(np.abs, np.abs(a), np.abs(b)), "between two positive arrays |x| is affine, but you reject it: test between a and b, not elsewhere or beyond them")
    twice = lambda x: np.concatenate([x @ wide, -(x @ wide)])  # noqa: E731
    require(
        answer(twice, a, b),
        "(x @ matrix, -x @ matrix) with 600 values is affine, but you reject it: a value near 0 carries the rounding of large terms, "
        "and the mean of all is near 0. Compare the largest gap with the largest absolute value (np.allclose compares each value with itself)",
    )


# --- 01 data ---------------------------------------------------------------------------------------


@exercise
def c01_to_uint8(my_to_uint8):
    """my_to_uint8(images) -> bytes, rounded to the nearest level, clipped."""
    my_to_uint8 = guarded(my_to_uint8)
    inside = np.array([0.0, 0.2, 0.5, 0.9999, 1.0], "float32")
    levels = require_array(my_to_uint8(inside.copy()), (5,))
    require(levels.dtype == np.uint8, f"the result has dtype {levels.dtype}; expected uint8")
    require(levels[4] != 0, "white (1.0) became 0: multiply by 255, since 256 does not fit into a byte and wraps around")
    require(levels[3] != 254, "0.9999 became 254: astype cuts the fraction off; round first, for example with np.rint")
    require(levels.max() > 1, "everything is 0 or 1: multiply by 255 before the conversion")
    require(np.array_equal(levels, [0, 51, 128, 255, 255]), f"{inside.tolist()} became {levels.tolist()}; expected [0, 51, 128, 255, 255]")
    outside = require_array(my_to_uint8(np.array([[-0.02, 0.2, 1.02]], "float32")), (1, 3), "the result for an array of shape (1, 3)")
    require(outside[0, 1] == 51, f"beside -0.02 and 1.02, 0.2 became {outside[0, 1]} instead of 51: clip to [0, 1]; do not stretch or divide by the largest value")
    require(np.array_equal(outside, [[0, 51, 255]]), f"[[-0.02, 0.2, 1.02]] became {outside.tolist()}: values outside [0, 1] wrap around unless you clip them first")
    every = np.arange(256, dtype="uint8")
    back = np.asarray(my_to_uint8(every.astype("float32") / np.float32(255)))
    require(np.array_equal(back, every), "the round trip bytes -> floats -> bytes does not give the bytes back")
    many = np.linspace(0, 1, 1000, dtype="float32")
    require(
        np.array_equal(np.asarray(my_to_uint8(many.copy())), np.rint(255 * many)),
        "some values between two levels do not become the nearest one: multiply by 255 (not by 256), and round",
    )


@exercise
def c01_psnr(my_psnr):
    """my_psnr(reference, result) -> dB, floats in [0, 1], RGB."""
    my_psnr, rng = guarded(my_psnr), np.random.default_rng(0)
    for width in (16, 24):
        reference = rng.uniform(0.2, 0.8, (16, width, 3)).astype("float32")
        result = reference + rng.normal(0.02, 0.05, reference.shape).astype("float32")  # too bright: a variance is no MSE
        mse = float(np.mean((reference - result) ** 2))
        expected = -10 * np.log10(mse)
        value = my_psnr(reference, result)
        require(np.shape(value) != (3,), "you return one number per channel; take the mean of the squares over rows, columns and channels at once")
        value = float(require_array(value, ()))
        typical = {
            -expected: "the sign is wrong: a smaller error must give a larger PSNR",
            expected / 2: "half of the right value: you took the square root of the MSE and kept the factor 10; use 20 with the root, or 10 without",
            expected * 2: "twice the right value: the factor 20 belongs to the root of the MSE; with the MSE itself it is 10",
            expected + 20 * np.log10(255): "48.13 dB too much: the images are in [0, 1], so the peak is 1 and not 255",
            expected + 10 * np.log10(255): "24.07 dB too much: the images are in [0, 1], so the peak is 1 and not 255 (and a peak has to be squared)",
            -10 * np.log(mse): "you used the natural logarithm; decibels need np.log10",
            -np.log10(mse): "the factor 10 is missing: that is bel, not decibel",
            mse: "that is the mean squared error; turn it into decibels",
            -20 * np.log10(float(np.mean(np.abs(reference - result)))): "you used the mean absolute error; square the differences",
        }
        for wrong, message in typical.items():
            require(not np.isclose(value, wrong, rtol=1e-4), message)
        require(np.isclose(value, expected, rtol=1e-4), f"you return {value:.6g}; expected {expected:.6g} dB, not rounded: 10 log10(1 / MSE), the mean over all pixels and channels")


@exercise
def c01_degrade2(my_degrade2):
    """my_degrade2(hr) -> lr at half the size, bicubic, antialiased, 8 bits."""
    from . import data

    my_degrade2, hr = guarded(my_degrade2), data.to_float(data.portraits())
    lr = my_degrade2(hr)
    require(np.shape(lr) != (2, 32, 32, 3), "the result is 32x32: that is factor 4; halve height and width")
    lr = require_array(lr, (2, 64, 64, 3))
    require(lr.dtype.kind == "f" and lr.max() <= 1.5, "return floats in [0, 1], not 8-bit levels")

    def same(other, tolerance=1e-4):
        return np.mean(np.abs(lr - other) > tolerance) < 0.002  # a tie may round either way

    smooth = data.resize(hr, (64, 64))
    require(not same(smooth), "not rounded: put data.quantise around it, since LR must be what an 8-bit file holds")
    require(not same(np.clip(smooth, 0, 1)), "clipped, but not rounded: use data.quantise")
    require(not same(data.quantise(data.resize(hr, (64, 64), antialias=False))), "antialias is off: detail too fine for the small image comes back as false structure")
    require(not same(hr[:, ::2, ::2]), "you only took every second pixel; that is sampling without any filter")
    for kernel in ("nearest", "bilinear", "lanczos"):
        require(not same(data.quantise(data.resize(hr, (64, 64), kernel))), f"this is {kernel}; the course uses bicubic")
    require(not same(np.floor(np.clip(smooth, 0, 1) * 255) / 255), "the levels are cut off instead of rounded")
    require(not same(np.rint(smooth * 255) / 255), "rounded, but not clipped: beside sharp edges bicubic leaves [0, 1], which no 8-bit file can hold")
    require(same(data.quantise(smooth)), "the size is right, the pixels are not: data.quantise(data.resize(hr, (height // 2, width // 2)))")
    single = require_array(my_degrade2(hr[0, :, :96]), (64, 48, 3), "the result for one image of 128x96")
    expected = data.quantise(data.resize(hr[0, :, :96], (64, 48)))
    require(np.allclose(single, expected, atol=0.005), "right for a batch, but not for a single image of 128x96")


@exercise
def c01_split(my_split):
    """my_split(people, seed) -> photo numbers for training, validation and test, no person in two."""
    rng = np.random.default_rng(3)
    photos = rng.integers(3, 30, 1007)  # a number that 10 does not divide
    photos[0] = photos.sum()  # somebody with half of the photos: shares of people are not shares of photos
    people = rng.permutation(np.repeat(np.arange(1007) * 101 + 11, photos))
    my_split = guarded(my_split)
    parts = my_split(people.copy(), 0)
    require(parts is not None and parts is not Ellipsis, f"the result is {parts}; replace the dots with your code and return three arrays")
    require(len(parts) == 3, f"you return {len(parts)} things; expected three arrays: training, validation, test")
    parts = [np.asarray(part) for part in parts]
    require(not any(part.dtype == bool for part in parts), "you return masks; return the photos' positions, for example with np.flatnonzero")
    require(all(part.ndim == 1 and part.dtype.kind in "iu" and len(part) for part in parts), "each of the three must be a one-dimensional, non-empty array of integers")
    together = np.concatenate(parts)
    require(together.max() < len(people), "you return numbers of people; return the positions of their photos")
    require(len(np.unique(together)) == len(together), "some photos are in two parts, or twice in one")
    sides = [set(people[part].tolist()) for part in parts]
    shared = (sides[0] & sides[1]) | (sides[0] & sides[2]) | (sides[1] & sides[2])
    require(not shared, f"{len(shared)} of the 1007 people are in two parts: shuffle and cut the people, not the photos")
    require(len(together) == len(people), f"{len(people) - len(together)} of the {len(people)} photos are in no part")
    counts = [len(side) for side in sides]
    require(counts[0] > max(counts[1:]), f"the parts hold {counts} of 1007 people; training comes first and is the largest")
    require(all(abs(count - goal) <= 40 for count, goal in zip(counts, (806, 100, 100))), f"the parts hold {counts} of 1007 people; expected about 806, 100 and 100: 80, 10 and 10 percent of the people, not of the photos")
    again, other = my_split(people.copy(), 0), my_split(people.copy(), 1)
    require(all(np.array_equal(a, b) for a, b in zip(parts, again)), "two calls with the same seed differ: use np.random.default_rng(seed)")
    require(set(people[np.asarray(other[2])].tolist()) != sides[2], "the seed changes nothing: choose the people at random, not in the order of their numbers")


# --- 05 evaluation ---------------------------------------------------------------------------------


@exercise
def c05_psnr(answer):
    """PSNR of two uint8 images with a border cut off."""
    answer, rng = guarded(answer), np.random.default_rng(5)
    reference, result = rng.integers(0, 256, (2, 24, 30, 3)).astype("uint8")
    value = require_array(answer(reference, result, 4), (), "my_psnr(reference, result, 4)")

    def psnr(x, y, peak=255.0):
        return 10 * np.log10(peak**2 / np.mean((x.astype("float64") - y) ** 2))

    inner = np.s_[4:-4, 4:-4]
    expected = psnr(reference[inner], result[inner])
    wrapped = 10 * np.log10(255**2 / np.mean((reference[inner] - result[inner]).astype("float64") ** 2))
    short = 10 * np.log10(255**2 / np.mean((reference[inner].astype("int16") - result[inner]) ** 2))
    channels = np.mean([psnr(reference[inner][..., i], result[inner][..., i]) for i in range(3)])
    require(not np.isclose(value, wrapped), "uint8 wraps around: 3 - 5 is 254. Convert to float before you subtract")
    require(not np.isclose(value, 10 * np.log10(255**2 / np.mean((reference[inner] - result[inner]) ** 2))), "uint8 wraps around: convert to float before you subtract and square")
    require(not np.isclose(value, short), "int16 holds the differences, but not their squares, up to 65025: convert to float")
    require(not np.isclose(value, expected - 20 * np.log10(255)), "the peak of uint8 pixels is 255; you used 1")
    require(not np.isclose(value, expected - 10 * np.log10(255)), "the peak is squared too: 10 log10(255^2 / MSE)")
    require(not np.isclose(value, expected + 20 * np.log10(256 / 255)), "the peak of uint8 pixels is 255; you used 256")
    require(not np.isclose(value, psnr(reference, result)), "the border is still there: shave was ignored")
    require(not np.isclose(value, psnr(reference[4:, 4:], result[4:, 4:])), "you cut the upper and left border only; cut all four sides")
    require(not np.isclose(value, psnr(reference[4:-4], result[4:-4])), "you cut rows only; cut all four sides")
    require(not np.isclose(value, psnr(reference[2:-2, 2:-2], result[2:-2, 2:-2])), "you cut half of shave from each side; the argument counts the pixels of one side")
    require(not np.isclose(value, channels), "that is the mean of three PSNRs; take one mean of the squares, over rows, columns and channels")
    require(not np.isclose(value, -expected), "the sign is wrong: a smaller error must give a larger PSNR")
    require(not np.isclose(value, expected * np.log(10)), "you used the natural logarithm; decibels need np.log10")
    require(not np.isclose(value, expected / 10), "the factor 10 is missing: that is bel, not decibel")
    require(not np.isclose(value, expected / 2), "10 log10 of the mean SQUARED error; or 20 log10 if you took the root")
    require(not np.isclose(value, expected * 2), "the factor 20 belongs to the root of the MSE; with the MSE itself it is 10")
    require(np.isclose(value, expected), f"got {value:.6g} dB for two random images, expected {expected:.6g} dB, not rounded")
    grey = [(image // 2 + 50).astype("uint8") for image in (reference, result)]  # 50 to 177
    require(np.isclose(answer(*grey, 4), psnr(*(image[inner] for image in grey))), "right where a pixel is 255, wrong where none is: the peak is 255, whatever the images hold")
    narrow = psnr(reference[2:-2, 2:-2], result[2:-2, 2:-2])
    require(np.isclose(answer(reference, result, 2), narrow), "right for shave=4, wrong for shave=2: use the argument")
    lower = psnr(reference[6:-4, 4:-4], result[6:-4, 4:-4])
    require(np.isclose(answer(reference[2:], result[2:], 4), lower), "right for 24x30 pixels, wrong for 22x30: take the size from the images")
    whole = answer(reference, result, 0)
    require(whole is not None and np.isclose(whole, psnr(reference, result)), f"with shave=0 you get {whole}; beware of the slice [0:-0], which is empty")


@exercise
def c05_consistency(answer):
    """Map of the difference between an LR input and a result degraded again."""
    from . import data

    answer, hr = guarded(answer), data.to_float(data.portraits())[:, :, :96]  # 128x96: hides no exchanged sides
    lr = data.degrade(hr)
    sr = data.quantise(data.upscale(lr) + np.float32([0.05, 0, -0.1]))  # as a file holds it: rounding it first, like `lr_consistency`, changes nothing
    value = answer(lr, sr)
    require(value is not None and value is not Ellipsis, f"the map is {value}; replace the dots with your code and return something")
    require(np.shape(value) != lr.shape, "the map still has three channels; average over the last axis")
    value = require_array(value, lr.shape[:3], "the map")

    def small(**how):
        return data.resize(sr, lr.shape[1:3], **how)

    difference = 255 * (lr - data.degrade(sr))
    expected = np.abs(difference).mean(axis=-1)
    bytes_ = data.to_uint8(lr) - data.to_uint8(data.degrade(sr))

    def same(other, tolerance=0.02):
        return np.mean(np.abs(value - other) > tolerance) < 0.01  # a tie between two levels may round either way

    typical = [
        (expected / 255, "the map is in [0, 1]; multiply by 255 for 8-bit levels"),
        (expected / 255 * 256, "multiply by 255, not by 256: white is level 255"),
        (difference.mean(axis=-1), "positive and negative errors cancel: take the absolute value before the mean over channels"),
        (-difference.mean(axis=-1), "positive and negative errors cancel: take the absolute value before the mean over channels, and subtract lr there"),
        (np.abs(difference.mean(axis=-1)), "the three channels cancel: take the absolute value first, then the mean over channels"),
        (np.sqrt((difference**2).mean(axis=-1)), "that is the root of the mean square over channels; take the mean of the absolute values"),
        ((difference**2).mean(axis=-1), "you squared the differences; take their absolute values"),
        (3 * expected, "that is the sum over channels; take the mean"),
        (np.abs(difference).max(axis=-1), "that is the largest of the three channels; take the mean"),
        (bytes_.mean(axis=-1), "uint8 wraps around: 3 - 5 is 254. Subtract floats"),
        (255 * np.abs(lr - small()).mean(axis=-1), "you did not round to 8 bits after shrinking: data.degrade does both"),
        (255 * np.abs(lr - np.clip(small(), 0, 1)).mean(axis=-1), "you clipped, but did not round to 8 bits after shrinking: data.degrade does both"),
        (255 * np.abs(lr - data.quantise(small(antialias=False))).mean(axis=-1), "you shrank without antialiasing; that is another degradation. Use data.degrade"),
        (255 * np.abs(lr - sr[:, ::4, ::4]).mean(axis=-1), "you picked every fourth pixel; that is another degradation. Use data.degrade"),
    ]
    for wrong, message in typical:
        require(not same(wrong, 1e-4 if wrong.max() < 1 else 0.02), message)
    n, i, j = place = np.unravel_index(np.argmax(np.abs(value - expected)), value.shape)
    require(same(expected), f"in image {n}, row {i}, column {j} the map is {value[place]:.3f} levels, expected {expected[place]:.3f}; its mean is {value.mean():.2f}, expected {expected.mean():.2f}")


@exercise
def c05_paired(answer):
    """Mean paired difference with its bootstrap interval."""
    from . import metrics

    answer, rng = guarded(answer), np.random.default_rng(6)
    a = rng.normal(27, 2, 80)
    b = a + rng.normal(0.2, 0.25, 80)  # of both signs
    value = answer(a, b)
    nested = isinstance(value, (tuple, list)) and any(np.size(part) > 1 for part in value)
    require(not nested, "low and high stand in a pair of their own; return three numbers: (mean, low, high), for example (mean, *interval)")
    value = require_array(value, (3,), "compare(a, b)")
    mean, low, high = value
    difference = b - a
    expected = np.array([difference.mean(), *metrics.bootstrap_interval(difference)])
    width, images = expected[2] - expected[1], np.ptp(np.percentile(difference, (2.5, 97.5)))
    require(not np.isclose(mean, -expected[0]), "the sign is the wrong way round: b - a is positive when b is better")
    require(not np.isclose(mean, np.abs(difference).mean()), "you took absolute differences: where b is worse, b - a must count as negative")
    require(not (np.isclose(low, high) and np.isclose(low, mean)), "your interval has no width: draw the images with replacement")
    require(low < mean < high, f"the mean {mean:.2f} does not lie between low {low:.2f} and high {high:.2f}; return (mean, low, high) of one quantity, b - a")
    require(
        not np.any(np.isclose(high - low, [images, 3.92 * difference.std(), 4 * difference.std()], rtol=0.03)),
        f"your interval, {high - low:.2f} dB wide, holds 95% of the images; that of their *mean* is narrower: resample the images and take percentiles of the means",
    )
    require(
        high - low < 3 * width,
        f"your interval is {high - low:.2f} dB wide, the paired one {width:.2f}: subtract image by image first, then take one interval",
    )
    require(
        np.isclose(mean, expected[0], atol=1e-5),
        f"the mean of b - a is {expected[0]:.4f}, you return {mean:.4f}; return the mean itself, not rounded: no median, no middle of the interval, no mean of resamples",
    )
    require(high - low > 0.87 * width, f"your interval is {high - low:.3f} dB wide, expected about {width:.3f}: 95% lie between the percentiles 2.5 and 97.5 (5 and 95 leave 90%) of means of b - a")
    require(high - low < 1.15 * width, f"your interval is {high - low:.3f} dB wide, expected about {width:.3f}: 95%, not more, from means over as many draws as there are images, often enough")
    require(np.allclose(value, expected, atol=0.09 * width), f"got {np.round(value, 3)}, expected about {np.round(expected, 3)}")


# --- 03 losses -------------------------------------------------------------------------------------


@exercise
def c03_best_constants(answer):
    """The best single prediction for a set of values: under squared and under absolute error."""
    answer, values = guarded(answer), np.array([0.9, 0.0, 0.2, 0.0, 0.1])
    answers = answer(values)
    given = answers if isinstance(answers, (tuple, list)) else [answers]
    require(not any(part is None or part is Ellipsis for part in given), "there are dots left; replace them with your code and return two numbers")
    squared, absolute = require_array(answers, (2,), "best_constants(values)")
    require(
        not (np.isclose(squared, 0.1) and np.isclose(absolute, 0.24)),
        "the two are swapped: the first is for the squared error, the second for the absolute error",
    )
    require(not np.isclose(squared, 0.45), "0.45 is half-way between the extremes: best for the largest error, not for the squared error")
    require(np.isclose(squared, 0.24, atol=2e-3), f"for {values.tolist()} the squared error is lowest at 0.24, not at {squared:.3g}; set its derivative to zero")
    require(
        not np.isclose(absolute, 0.24),
        "one value, 0.9, moved your second answer: the absolute error only counts how many values lie on either side",
    )
    require(not np.isclose(absolute, 0.2), "0.2 stands in the middle of the list; sort the values before you take the middle one")
    require(not np.isclose(absolute, 0.0), "0 is the most frequent value; the absolute error wants half of the values on either side")
    require(np.isclose(absolute, 0.1, atol=2e-3), f"for {values.tolist()} the absolute error is lowest at 0.1, not at {absolute:.3g}")
    values = np.array([2.0, -1.0, 7.0, 0.3, 0.5, 0.45, 0.4])  # a trimmed mean, or a search in [0, 1], fits the first list only
    squared, absolute = require_array(answer(values), (2,), "best_constants(values)")
    require(
        np.allclose([squared, absolute], [1.3786, 0.45], atol=2e-3),
        f"right for the first list, but for {values.tolist()} you return {squared:.4g} and {absolute:.4g}; expected 1.379 and 0.45",
    )


@exercise
def c03_discriminator_loss(answer):
    """Cross-entropy of the discriminator from logits, stable, ln 2 at a draw."""
    from . import losses

    tf, softplus = losses.tf, lambda x: np.logaddexp(0, x)
    draw = answer(tf.zeros((4, 1)), tf.zeros((4, 1)))
    require(not isinstance(draw, (float, np.ndarray, np.generic)), f"you return a {type(draw).__name__}; NumPy and float() cut the gradient off: compute with ops and return a tensor")
    draw = float(require_array(draw, (), "the loss at a draw"))
    require(not np.isclose(draw, 2 * np.log(2)), "a judge who guesses gets 2 ln 2 = 1.386: take half of the sum of the two parts")
    require(draw >= 0, f"the loss is negative ({draw:.3f}) for a judge who guesses; check the signs of the logarithms")
    require(np.isclose(draw, np.log(2), atol=1e-3), f"a judge who guesses should get ln 2 = 0.693, you get {draw:.3f}")
    real, fake = np.float32([[1.5], [-0.5]]), np.float32([[-2.0], [0.3], [1.0]])
    value = float(answer(tf.constant(real), tf.constant(fake)))
    expected = 0.5 * (softplus(-real).mean() + softplus(fake).mean())
    require(not np.isclose(value, 0.5 * (softplus(real).mean() + softplus(-fake).mean())), "real and fake are swapped: a high logit means real")
    require(not np.isclose(value, softplus(-real).mean()), "the half for fakes is missing: you judge the real images alone")
    require(not np.isclose(value, softplus(fake).mean()), "the half for real images is missing: you judge the fakes alone")
    require(np.isclose(value, expected, atol=1e-4), f"got {value:.4f} for ordinary logits, expected {expected:.4f}; do you average each part before you add?")
    patches = [np.repeat(logits, 6, axis=1).reshape(-1, 2, 3, 1) for logits in (real, fake)]
    value = float(require_array(answer(*(tf.constant(logits) for logits in patches)), (), "the loss of a patch discriminator's logits"))
    require(np.isclose(value, expected, atol=1e-4), f"right for one logit an image, wrong for maps of 2x3 logits, (N, 2, 3, 1): got {value:.4f}, expected {expected:.4f}; take the mean over all axes")
    for size in (20.0, 200.0):
        real, fake = tf.Variable([[-size]]), tf.Variable([[size]])
        with tf.GradientTape() as tape:
            value = answer(real, fake)
        slopes = tape.gradient(value, [real, fake])
        require(
            np.isclose(float(value), size, rtol=1e-3),
            f"for logits of {-size:.0f} (real) and {size:.0f} (fake) the loss should be {size:.0f}, you get {float(value):.4g}: "
            "in float32 sigmoid rounds to 0 or 1 and exp overflows. Use softplus, or a cross-entropy from logits",
        )
        require(all(slope is not None for slope in slopes), "no gradient arrives at the real or at the fake logits: stop_gradient cuts it off")
        require(np.all(np.isfinite(slopes)), f"at logits of {size:.0f} the value is right but the gradient is NaN: `where` computes both branches, and one of them overflows")
        require(
            all(np.isclose(abs(float(slope[0, 0])), 0.5, atol=1e-3) for slope in slopes),
            f"at logits of {size:.0f} the value is right but the gradient is not 0.5: clipping throws it away where D is most wrong",
        )
        real, fake = tf.Variable([[size]]), tf.Variable([[-size]])
        with tf.GradientTape() as tape:
            value = answer(real, fake)
        slopes = np.array([float(slope[0, 0]) for slope in tape.gradient(value, [real, fake])])
        require(
            np.isclose(float(value), 0, atol=1e-3) and np.allclose(slopes, 0, atol=1e-3),
            f"right where D is wrong, but for logits of {size:.0f} (real) and {-size:.0f} (fake), where D is right, the loss and its gradients "
            f"should be 0; you get {float(value):.4g} and {slopes}: exp overflows on this side. Use softplus",
        )


@exercise
def c03_normalise(answer):
    """Divide each position's feature vector by its length over channels."""
    answer, features = guarded(answer), np.random.default_rng(3).random((2, 3, 4, 5)).astype("float32")
    value = require_array(answer(features), features.shape, "the normalised features")

    def by(axis):
        return features / np.sqrt(np.sum(features**2, axis=axis, keepdims=True))

    require(not np.allclose(value, by((1, 2)), atol=1e-3), "you normalised each channel over the positions; each position should get length 1 over its channels")
    require(not np.allclose(value, by((1, 2, 3)), atol=1e-3), "you divided by the length of the whole map; each position has its own length")
    require(not np.allclose(value, by(0), atol=1e-3), "you normalised over the images of the batch; the channels are the last axis")
    require(not np.allclose(value, by(-1) ** 2, atol=1e-3) and not np.allclose(value, features / np.sum(features**2, -1, keepdims=True), atol=1e-3), "you divided by the squared length; take the square root")
    require(not np.allclose(value, features / features.sum(-1, keepdims=True), atol=1e-3), "you divided by the sum of the channels; the length is the root of the sum of squares")
    require(np.allclose(value, by(-1), atol=1e-3), "the vectors over the last axis do not have length 1")
    features[0, 0, 0] = 0
    features[0, 0, 1] *= -0.1  # a weak answer, of the other sign
    with np.errstate(all="ignore"):
        dark = np.asarray(answer(features))
    require(np.all(np.isfinite(dark)), "a position where no channel answers gives 0/0 = NaN; add a small number under the root")
    require(np.allclose(dark[0, 0, 0], 0), "a position where no channel answers should stay zero")
    sign = np.sign(features[0, 0, 1]) == np.sign(dark[0, 0, 1])
    require(np.all(sign), "negative features lost their sign: square for the length only")
    others = np.linalg.norm(dark, axis=-1).reshape(-1)[2:]
    require(np.allclose(others, 1, atol=1e-2), "one position of zeros changes the others: each position must be treated by itself")
    weak = np.linalg.norm(dark[0, 0, 1])
    require(np.isclose(weak, 1, atol=1e-2), f"a position of length {np.linalg.norm(features[0, 0, 1]):.3f} gets length {weak:.3f} instead of 1: the small number is too large; 1e-10 under the root is enough")


@exercise
def c03_charbonnier(answer):
    """Mean of sqrt(difference^2 + epsilon^2)."""
    from . import losses

    tf = losses.tf
    rng = np.random.default_rng(4)
    hr, sr = (tf.constant(rng.random((2, 4, 6, 3)), "float32") for _ in range(2))
    squares, epsilon = np.square(np.asarray(hr) - np.asarray(sr)), 0.1
    value = answer(hr, sr, epsilon)
    require(not isinstance(value, (float, np.ndarray, np.generic)), f"you return a {type(value).__name__}; NumPy and float() cut the gradient off: compute with ops and return a tensor")
    value = float(require_array(value, (), "the loss"))
    expected = np.sqrt(squares + epsilon**2).mean()
    require(not np.isclose(value, np.sqrt(squares.mean() + epsilon**2), atol=1e-5), "you took the root of the mean: take the root at each pixel, then the mean")
    require(not np.isclose(value, np.sqrt(squares + epsilon).mean(), atol=1e-5), "epsilon stands squared under the root; only then it is a difference in pixel units")
    require(not np.isclose(value, np.sqrt(squares).mean(), atol=1e-5), "epsilon is not used: this is plain L1")
    require(not np.isclose(value, np.sqrt(squares + epsilon**2).sum(), rtol=1e-5), "this is the sum; take the mean, so that the loss does not grow with the image")
    require(np.isclose(value, expected, atol=1e-5), f"got {value:.5f} for two random images, expected {expected:.5f}")
    same = tf.Variable(hr)
    with tf.GradientTape() as tape:
        value = answer(hr, same, 1e-3)
    slope = tape.gradient(value, same)
    require(slope is not None and np.allclose(np.asarray(slope), 0, atol=1e-6), "where both images agree the gradient should be 0")


# --- 04 training -----------------------------------------------------------------------------------


@exercise
def c04_epochs(epochs):
    """epochs(steps, batch, images) -> (images seen, passes over the data)."""
    answer = epochs(4500, 16, 16_000)
    require(answer is not None and answer is not Ellipsis, f"the result is {answer}; replace the dots with your code and return something")
    require(isinstance(answer, (tuple, list, np.ndarray)) and len(answer) == 2, f"you return {answer!r}; expected two numbers, (images seen, epochs)")
    seen, passes = (float(value) for value in require_array(answer, (2,), "the pair"))
    require(not np.isclose(seen, 4500), "a step sees a whole batch, not one image")
    require(np.isclose(seen, 72_000), f"4,500 steps of 16 images see 72,000 images; you say {seen:g}")
    require(not np.isclose(passes, 4), "an epoch need not be complete: keep the half pass, divide with / and not with //")
    require(np.isclose(passes, 4.5), f"72,000 images out of 16,000 are 4.5 passes; you say {passes:g}")
    other = require_array(epochs(1000, 32, 5000), (2,), "the pair")
    require(np.allclose(other, [32_000, 6.4]), f"1,000 steps of 32 images out of 5,000 are 32,000 images and 6.4 passes; you say {other.tolist()}")


@exercise
def c04_ema(ema):
    """ema(average, weight, step, decay) -> the new average, with the warm-up of the decay."""
    ema, average, weight = guarded(ema), np.array([1.0, 2.0]), np.array([3.0, -2.0])
    late = require_array(ema(average.copy(), weight.copy(), 100_000, 0.9), (2,))
    require(not np.allclose(late, 0.1 * average + 0.9 * weight), "average and weight are exchanged: the average keeps the share `decay`")
    require(np.allclose(late, 0.9 * average + 0.1 * weight), "late in a training the result must be decay * average + (1 - decay) * weight")
    early = require_array(ema(average.copy(), weight.copy(), 1, 0.9), (2,))
    require(not np.allclose(early, late), "the warm-up is missing: at step 1 the decay is min(decay, (1 + 1) / (10 + 1))")
    share = 2 / 11
    require(np.allclose(early, share * average + (1 - share) * weight), "right late, wrong at step 1: the decay there is 2 / 11")
    share = 31 / 40
    middle = require_array(ema(average.copy(), weight.copy(), 30, 0.9), (2,))
    require(np.allclose(middle, share * average + (1 - share) * weight), "right at step 1, wrong at step 30: the decay there is min(0.9, 31 / 40)")
    halves = require_array(ema(average.copy(), weight.copy(), 30, 0.5), (2,))
    require(np.allclose(halves, 0.5 * average + 0.5 * weight), "right for decay=0.9, wrong at step 30 for decay=0.5, which is smaller than 31 / 40: take the smaller of the two, at every step")


@exercise
def c04_schedule(schedule):
    """schedule(step, peak, steps, warmup) -> learning rate: a line up to `warmup`, then half a cosine to 0 at `steps`."""
    rates = np.array([float(require_array(schedule(step, 2.0, 1000, 200), (), "the rate")) for step in (0, 50, 200, 600, 1000)])
    require(not np.isclose(rates[0], 2), "there is no warm-up: at step 0 the rate must be 0, at a quarter of the warm-up a quarter of the peak")
    require(np.allclose(rates[:3], [0, 0.5, 2]), f"at steps 0, 50, 200 of a warm-up of 200 to 2.0 you return {rates[:3]}; expected 0, 0.5, 2, a straight line")
    require(rates[4] > -1e-6, "your cosine ends at minus the peak: a cosine runs from 1 to -1, so take (1 + cos) / 2")
    missed = 1 + np.cos(np.pi * 0.6)
    require(not np.isclose(rates[3], missed), "the cosine must start at the end of the warm-up: count progress from there, (step - warmup) / (steps - warmup)")
    early = float(schedule(400, 2.0, 1000, 200))
    require(not np.isclose(early, 1.5), "that is a straight line: a quarter of the way down half a cosine of peak 2.0 stands at 1.71, you return 1.5")
    require(np.isclose(early, 1 + np.sqrt(0.5)), f"a quarter of the way down you return {early:.3f}; expected 1.707, half a cosine")
    require(np.allclose(rates[3:], [1, 0], atol=1e-6), f"halfway down and at the end you return {rates[3:]}; expected 1 and 0")
    other = float(schedule(275, 0.5, 500, 50))
    require(not np.isclose(other, 1), f"right for a peak of 2.0; for a peak of 0.5, halfway down, you return {other:.3f}: the cosine's height is the peak")
    others = np.array([float(schedule(25, 0.5, 500, 50)), other])
    require(np.allclose(others, 0.25), f"right for schedule(step, 2.0, 1000, 200); for peak 0.5, 500 steps and a warm-up of 50, you return {others} at steps 25 and 275, expected 0.25 twice: use the arguments")


@exercise
def c04_diagnose(diagnose):
    """diagnose(history) -> 'broken', 'discriminator wins', 'discriminator is blind' or 'healthy', from the last tenth."""

    def log(*parts, pixel=0.03, g_update=1e-3, first=0.03, val_psnr=28.0):
        """A history from parts (steps, D(real), D(fake)); the first and last pixel loss, the last update and the only PSNR are given."""
        columns = {name: [part[i] for part in parts for _ in range(part[0])] for i, name in ((1, "d_real"), (2, "d_fake"))}
        before = len(columns["d_real"]) - 1
        return {**columns, "pixel": ([first] + [0.03] * before)[: before] + [pixel], "g_update": [1e-3] * before + [g_update], "val_psnr": [None] * before + [val_psnr]}

    wins, blind, game = (100, 0.99, 0.01), (100, 0.501, 0.499), (100, 0.6, 0.4)
    answer = diagnose(log(game))
    require(answer is not None and answer is not Ellipsis, f"the result is {answer}; replace the dots with your code and return one of the four words")
    cases = [
        (log(game), "healthy", "D(real) 0.6 against D(fake) 0.4 is a game"),
        (log(wins), "discriminator wins", "D(real) is 0.99 and D(fake) 0.01"),
        (log(blind), "discriminator is blind", "D(real) is 0.501 and D(fake) 0.499"),
        (log((90, 0.6, 0.4), (10, 0.98, 0.02)), "discriminator wins", "the game was even and is lost now: judge the last tenth, not the whole run"),
        (log((90, 0.5, 0.5), (10, 0.6, 0.4)), "healthy", "a draw at the start is normal: judge the last tenth, not the start"),
        (log((99, 0.6, 0.4), (1, 0.99, 0.01)), "healthy", "D wins in one step of the last ten: take their mean, not the last value"),
        (log((90, 0.6, 0.4), (6, 0.99, 0.01), (4, 0.6, 0.4)), "healthy", "D wins in six of the last ten steps: take their mean, not their median"),
        (log((290, 1.0, 0.0), (10, 0.9, 0.1)), "discriminator wins", "the last tenth of 300 steps is 30 steps, not 10"),
        (log(wins, pixel=float("nan")), "broken", "a NaN must win over everything else: look for it first, with np.isfinite"),
        (log(game, pixel=float("inf")), "broken", "infinity is not finite either: use np.isfinite, not np.isnan"),
        (log(game, g_update=float("nan")), "broken", "the NaN stands in the column g_update: look in every column"),
        (log(game, pixel=float("-inf")), "broken", "minus infinity is not finite either: use np.isfinite"),
        (log(game, first=float("nan")), "broken", "the NaN stands in the first step: look at every number, not only at the last ones"),
        (log(game, val_psnr=float("nan")), "broken", "the NaN stands in val_psnr, behind the None: leave out each None, not the column"),
        (log((99, 0.6, 0.4), (1, 0.6, float("nan"))), "broken", "the NaN stands in the column d_fake: look in every column"),
        (log((99, 0.948, 0.052), (1, 1.0, 0.0)), "discriminator wins", "the last ten steps have the means 0.953 and 0.047: the slice [-n:-1] leaves out the last step, write [-n:]"),
        (log((90, 0.6, 0.4), (5, 0.7, 0.3), (5, 0.3, 0.7)), "discriminator is blind", "both means of the last ten steps are 0.5: compare the means, not step by step"),
        (log((4, 0.6, 0.4), (1, 0.99, 0.01)), "discriminator wins", "a tenth of 5 steps is less than one: take one step at least; the slice [-0:] is the whole list"),
        (log((100, 0.99, 0.06)), "healthy", "D(real) is 0.99 and D(fake) 0.06, but D wins only if both limits are passed"),
        (log((100, 0.97, 0.3)), "healthy", "D(real) is 0.97 and D(fake) 0.3, but D wins only if both limits are passed"),
        (log((100, 0.6, 0.02)), "healthy", "D(real) is 0.6 and D(fake) 0.02, but D wins only if both limits are passed"),
        (log((100, 0.94, 0.06)), "healthy", "D(real) is 0.94 and D(fake) 0.06: the limits are 0.95 and 0.05"),
        (log((100, 0.96, 0.04)), "discriminator wins", "D(real) is 0.96 and D(fake) 0.04: the limits are 0.95 and 0.05"),
        (log((100, 0.7, 0.699)), "discriminator is blind", "D(real) is 0.7 and D(fake) 0.699: blind means close together, wherever that is"),
        (log((100, 0.504, 0.5)), "discriminator is blind", "D(real) is 0.504 and D(fake) 0.5: the limit is 0.005"),
        (log((100, 0.506, 0.5)), "healthy", "D(real) is 0.506 and D(fake) 0.5: the limit is 0.005"),
        (log((100, 0.4, 0.6)), "healthy", "D(real) is 0.4 and D(fake) 0.6, far apart: take the absolute difference"),
    ]
    for history, expected, why in cases:
        answer = diagnose(history)
        require(answer == expected, f"{why}; expected {expected!r}, you say {answer!r}")


# --- 06 scaling out --------------------------------------------------------------------------------


@exercise
def c06_rows(rows):
    """rows(batch, replicas, index) -> (first, last + 1) of the images of the global batch that a replica sees."""
    pair = require_array(rows(32, 4, 2), (2,), "the pair")
    first, stop = pair
    require((first, stop) != (2, 32), "that is every fourth image: the slices are contiguous, as `shards` cuts them")
    require((first, stop) != (64, 96), "each replica would see a whole batch of 32 of its own: the batch is the global one, so divide it by the number of replicas")
    require((first, stop) != (16, 23), "in Python a slice ends one behind its last image: return 24, not 23")
    require((first, stop) != (8, 16), "replicas are counted from 0: replica 2 is the third one")
    require((first, stop) == (16, 24), f"of 32 images and 4 replicas, replica 2 sees images 16 to 23; you return {first:g} and {stop:g}")
    require(pair.dtype.kind in "iu", f"right numbers, but {pair.tolist()} cannot cut a slice: divide with //, so that they are whole")
    seen = [image for index in range(3) for image in range(*(int(place) for place in rows(12, 3, index)))]
    require(seen == list(range(12)), f"3 replicas should see each of 12 images once; yours see {seen}")


@exercise
def c06_unequal(gradient):
    """gradient(gradients, counts) -> the global batch's gradient, from each replica's mean gradient and number of images."""
    gradient = guarded(gradient)
    gradients, counts = np.array([[1.0, -2.0], [4.0, 2.0], [0.0, 6.0]]), np.array([8, 4, 4])
    value = require_array(gradient(gradients, counts), (2,), "the gradient")
    expected = np.average(gradients, axis=0, weights=counts)
    require(not np.allclose(value, gradients.sum(axis=0)), "this is the sum, what Keras applies by itself; the global batch's loss is a mean")
    require(not np.allclose(value, gradients.mean(axis=0)), "the plain mean is right for equal shares only: the replica with 8 images counts twice")
    require(not np.allclose(value, counts @ gradients), "right weights, but divide by the number of all images")
    require(not np.allclose(value, counts @ gradients / 3), "divide by the number of images, 16, not by the number of replicas")
    require(np.allclose(value, expected), f"you return {value}; the mean over all 16 images is {expected}")
    require(np.allclose(gradient(gradients, np.array([5, 5, 5])), gradients.mean(axis=0)), "with equal shares it must be the plain mean")
    value = require_array(gradient(gradients, np.array([7, 6, 3])), (2,), "the gradient")
    expected = np.average(gradients, axis=0, weights=[7, 6, 3])
    require(np.allclose(value, expected), f"right for shares of 8, 4 and 4; for 7, 6 and 3 you return {value}, expected {expected}: weigh with the counts themselves")


@exercise
def c06_step_time(step_time):
    """step_time(compute, size, bandwidth, latency, workers) -> seconds of a step with a ring all-reduce."""
    value = float(require_array(step_time(0.8, 4e6, 1e9, 1e-3, 5), (), "the time"))
    compute, moved, waited = 0.8 / 5, 2 * 4 / 5 * 4e6 / 1e9, 2 * 4 * 1e-3
    require(not np.isclose(value, 0.8 + moved + waited), "the workers share the images: divide the computing time by their number")
    require(not np.isclose(value, compute + moved), "the latency is missing: a ring of 5 takes 2 * 4 turns, each waits once")
    require(not np.isclose(value, compute + moved + 1e-3), "the latency counts once for every turn of the ring, 2 * (workers - 1) times")
    require(not np.isclose(value, compute + waited + 4e6 / 1e9), "each worker sends 2 * (workers - 1) / workers times the gradient, not once")
    require(not np.isclose(value, compute + waited + 2 * 4 * 4e6 / 1e9), "in each turn a worker sends only 1 / workers of the gradient")
    require(np.isclose(value, compute + moved + waited), f"you return {value:.4f} s; expected {compute + moved + waited:.4f} s")
    other = float(step_time(0.3, 2e8, 1.25e8, 5e-4, 8))
    require(np.isclose(other, 0.3 / 8 + 2 * 7 * (2e8 / 8 / 1.25e8 + 5e-4)), f"right for 5 workers; for step_time(0.3, 2e8, 1.25e8, 5e-4, 8) you return {other:.4f} s, expected 2.8445 s: use every argument")
    alone = float(step_time(0.8, 4e6, 1e9, 1e-3, 1))
    require(np.isclose(alone, 0.8), f"one worker talks to nobody: the time is 0.8 s, you return {alone:.4f} s")
