"""Image quality with its conventions spelled out, and intervals. Taught in chapter 05.

Arguments come as (reference, result): float32 RGB in [0, 1], (N, H, W, 3); metrics of pairs return one float per image,
(N,). Results are rounded to 8 bits first, because that is what a file, and hence a reader of the number, would hold.
Only `feature_distance` starts TensorFlow.
"""

import numpy as np

from . import data

SSIM_SIGMA = 1.5
SSIM_RADIUS = 5  # an 11x11 window
FRECHET_TAP = "block4_conv3"  # the VGG layer whose averages over positions the tables compare


def luma(images):
    """BT.601 luma Y in studio range, 16/255 to 235/255 (what MATLAB's rgb2ycbcr and the papers use).

    images: (..., 3) in [0, 1]; returns (..., 1).
    """
    weights = np.array([65.481, 128.553, 24.966], "float32")
    return (images @ weights[:, None] + 16.0) / 255.0


def checked_pair(reference, result, channel, shave):
    """Validate a pair, round it to 8 bits, take the channel, cut the border; returns two float32 arrays in [0, 1].

    reference, result: (N, H, W, 3) in [0, 1]. Raises `ValueError` for unlike shapes, another range, channel or shave.
    """
    reference, result = data.check_images(reference, "reference"), data.check_images(result, "result")
    if reference.ndim != 4 or reference.shape != result.shape:
        raise ValueError(f"reference {reference.shape} and result {result.shape} must both be (N, H, W, 3), and equal")
    if channel not in ("rgb", "y"):
        raise ValueError(f"channel is {channel!r}; it must be 'rgb' or 'y'")
    if shave < 0 or 2 * shave >= min(reference.shape[1:3]):
        raise ValueError(f"shave is {shave}; a {reference.shape[1]}x{reference.shape[2]} image has no pixels left")
    pair = [data.quantise(images) for images in (reference, result)]
    if channel == "y":
        pair = [luma(images) for images in pair]
    inner = slice(shave, -shave or None)
    return [images[:, inner, inner] for images in pair]


def psnr(reference, result, channel="rgb", shave=0):
    """Peak signal-to-noise ratio in dB, 10 log10(peak^2 / MSE); infinite for equal images, see `finite_scores`.

    channel: `rgb` (mean over the three) or `y` (BT.601). shave: pixels cut from every border; the papers'
    protocol is channel="y", shave=4. Raises `ValueError` for unlike shapes, another range, channel or shave.
    """
    reference, result = checked_pair(reference, result, channel, shave)
    mse = np.mean(np.square(reference - result, dtype="float64"), axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return -10.0 * np.log10(mse)


def ssim(reference, result, channel="rgb", shave=0):
    """Structural similarity (Wang et al. 2004, eq. 13), mean over windows and channels; 1 for equal images.

    Gaussian window 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03 of the peak; windows that would leave the
    image are not used, as in the authors' code. Arguments and errors as in `psnr`.
    """
    reference, result = checked_pair(reference, result, channel, shave)
    if min(reference.shape[1:3]) <= 2 * SSIM_RADIUS:
        raise ValueError(f"SSIM needs images of at least {2 * SSIM_RADIUS + 1} pixels; got {reference.shape[1:3]}")
    scores = [ssim_map(x.astype("float64"), y.astype("float64")).mean() for x, y in zip(reference, result)]
    return np.array(scores)


def ssim_map(x, y):
    """SSIM of every window of one image pair in [0, 1], before the mean: (H, W, C) -> (H - 10, W - 10, C)."""
    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x, var_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))


def local_mean(image):
    """Gaussian-weighted mean of every 11x11 window inside an image, one axis after the other: (H - 10, W - 10, C)."""
    offsets = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    window = np.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    window /= window.sum()
    height, width = image.shape[0] - 2 * SSIM_RADIUS, image.shape[1] - 2 * SSIM_RADIUS
    rows = sum(w * image[i : i + height] for i, w in enumerate(window))
    return sum(w * rows[:, i : i + width] for i, w in enumerate(window))


def lr_consistency(lr, result):
    """PSNR in dB (RGB, no border cut) between the LR input and the result degraded again.

    An honest super-resolution shrinks back to its input; what it adds may only be what was lost.
    lr: (N, h, w, 3); result: (N, 4h, 4w, 3). Raises `ValueError` for other shapes or ranges.
    """
    return psnr(lr, data.degrade(data.quantise(data.check_images(result, "result"))))


def feature_distance(reference, result, features, batch=20):
    """Distance of channel-normalised VGG features, see `losses.feature_distances`; 0 for equal images.

    Summed over channels and taps, averaged over positions: LPIPS (Zhang et al. 2018, eq. 1) without its learned heads,
    so it is not LPIPS. features: the model of `vgg.features`; numbers from different models do not compare. Raises
    `ValueError` as `psnr`.
    """
    from . import losses

    reference, result = checked_pair(reference, result, "rgb", 0)
    parts = [
        np.asarray(losses.feature_distances(features, reference[i : i + batch], result[i : i + batch]))
        for i in range(0, len(reference), batch)
    ]
    return np.concatenate(parts).astype("float64")


def frechet_distance(reference, result):
    """Frechet distance of two sets of feature vectors, each a Gaussian (Heusel et al. 2017, eq. 6).

    |m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)); the sets need not show the same images. With S = R^T R from the QR
    decomposition of the centred vectors, the last trace is the sum of the singular values of R1 R2^T: no matrix
    root is taken and nothing has to be clipped. reference: (N, D), result: (M, D), N and M at least 2; returns a
    float, at least 0 up to rounding. The estimate is too large, by an amount that falls like 1 / N: compare it
    with the distance of two sets of real images. With VGG features it is not FID, whose network is Inception. Raises
    `ValueError` for other shapes.
    """
    sets = [np.asarray(vectors, "float64") for vectors in (reference, result)]
    if any(vectors.ndim != 2 or len(vectors) < 2 for vectors in sets) or sets[0].shape[1] != sets[1].shape[1]:
        raise ValueError(
            f"vectors have shapes {sets[0].shape} and {sets[1].shape}; expected (N, D) and (M, D), N and M >= 2"
        )
    means = [vectors.mean(axis=0) for vectors in sets]
    roots = [np.linalg.qr(x - m, mode="r") / np.sqrt(len(x) - 1) for x, m in zip(sets, means)]
    spread = sum(np.square(root).sum() for root in roots)  # the traces of the two covariances
    return float(np.square(means[0] - means[1]).sum() + spread - 2 * np.linalg.norm(roots[0] @ roots[1].T, "nuc"))


def power_spectrum(images):
    """Mean power spectrum of images: |FFT|^2 of the luma under a Hann window, averaged over the images, (H, W).

    images: float32 (N, H, W, 3) in [0, 1], or one image, (H, W, 3); rounded to 8 bits first. Frequency zero stands in
    the middle, at [H // 2, W // 2], and each step from there is one period per image. The window fades an image out
    towards its borders, where the FFT would otherwise see a jump from one side to the other.
    """
    y = luma(data.quantise(data.check_images(images)))[..., 0]
    y = y.reshape(-1, *y.shape[-2:])
    window = np.hanning(y.shape[1])[:, None] * np.hanning(y.shape[2])
    return np.fft.fftshift(sum(np.abs(np.fft.fft2(window * image)) ** 2 for image in y) / len(y))


def smooth_spectrum(power):
    """Mean of a spectrum, (H, W), over 3x3 neighbouring frequencies; it is periodic, so its edges meet."""
    shifts = [(ky, kx) for ky in (-1, 0, 1) for kx in (-1, 0, 1)]
    return sum(np.roll(power, shift, (0, 1)) for shift in shifts) / len(shifts)


def fine_powers(reference, result, above):
    """The powers of two spectra, (H, W), at their fine frequencies, (K,) each, and the frequencies (ky, kx), (K, 2).

    Fine are those of a radius of more than `above` and at most H / 2 periods per image. Raises `ValueError` if there
    are none, and for unlike sizes.
    """
    if reference.shape != result.shape:
        raise ValueError(f"spectra have shapes {reference.shape} and {result.shape}; expected equal ones")
    centre = np.array(reference.shape) // 2
    frequencies = np.stack(np.indices(reference.shape), axis=-1).reshape(-1, 2) - centre
    radius = np.hypot(*frequencies.T)
    fine = frequencies[(radius > above) & (radius <= min(reference.shape) / 2)]
    if not len(fine):
        raise ValueError(f"above is {above}; images of {reference.shape} pixels hold no frequency beyond it")
    rows, columns = (fine + centre).T
    return reference[rows, columns], result[rows, columns], fine


def weave(reference, result, above=28):
    """How far a pattern stands out of the fine detail: the largest ratio of two power spectra, and its frequency.

    A network that lays the same pattern over every face, a weave or a checkerboard, adds power at a few frequencies
    that no face prefers. A mean over rings hides it, a maximum over frequencies does not. reference, result: what
    `power_spectrum` returned for the photos and for the results, (H, W); both are smoothed over 3x3 frequencies. above:
    only frequencies (ky, kx) with a radius of more periods per image count; an input of 32 pixels can hold 16.
    Returns (ratio, (ky, kx)), ratio 1 for equal sets; a real image has the same power at (ky, kx) and (-ky, -kx), and
    the one with ky >= 0 is named. Raises `ValueError` for unlike sizes.
    """
    before, after, frequencies = fine_powers(smooth_spectrum(reference), smooth_spectrum(result), above)
    ratios = after / before
    ky, kx = map(int, frequencies[ratios.argmax()])
    return float(ratios.max()), max((ky, kx), (-ky, -kx))


def high_frequency_power(reference, result, above=28):
    """Mean power of the result beyond `above` periods per image, as a share of the reference's.

    Below 1 the result is smoother than the photos, above 1 rougher. It counts detail, invented or not, noise, and a
    `weave` alike. Arguments and errors as there.
    """
    before, after, _ = fine_powers(reference, result, above)
    return float(after.mean() / before.mean())


def finite_scores(scores, name="scores"):
    """The finite ones of the scores of images: what means and intervals are taken over.

    An image that is reproduced exactly, a flat one for example, has an infinite PSNR, and one such score makes every
    mean infinite. So images whose PSNR is infinite are reported apart, as `len(scores) - len(finite_scores(scores))`;
    intervals and means are over the finite ones. scores: (N,). Raises `ValueError` for another shape, and for NaN,
    which is no score at all.
    """
    scores = np.asarray(scores, "float64")
    if scores.ndim != 1:
        raise ValueError(f"{name} have shape {scores.shape}; expected one number per image, (N,)")
    missing = np.flatnonzero(np.isnan(scores))
    if len(missing):
        raise ValueError(f"{name} hold {len(missing)} NaN of {len(scores)}, the first for image {missing[0]}")
    return scores[np.isfinite(scores)]


def bootstrap_interval(values, level=0.95, resamples=2000, seed=0):
    """Percentile interval of the mean over images, by resampling the images (Efron 1979).

    values: (N,) floats, one per image; infinite ones are left out, see `finite_scores`. Returns (low, high), in the
    unit of the values. Raises `ValueError` for NaN, and for fewer than two finite values.
    """
    values = finite_scores(values, "values")
    if len(values) < 2:
        raise ValueError(f"values hold {len(values)} finite numbers; an interval needs at least two images")
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(resamples)]
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def paired_interval(first, second, level=0.95):
    """Mean of second - first over the same images, and its bootstrap interval: (mean, low, high).

    first, second: (N,), the scores of two methods, image by image. The difference is called significant if the interval
    excludes zero. Two equal scores are a tie, difference 0, also if both are infinite; an image that one method alone
    reproduces exactly is left out of mean and interval, see `finite_scores`. Raises `ValueError` for unlike shapes, for
    NaN, and for fewer than two finite differences.
    """
    first, second = np.asarray(first, "float64"), np.asarray(second, "float64")
    if first.shape != second.shape:
        raise ValueError(
            f"scores have shapes {first.shape} and {second.shape}; a pair needs the same images on both sides"
        )
    difference = np.subtract(second, first, out=np.zeros_like(first), where=first != second)
    difference = finite_scores(difference, "differences")
    low, high = bootstrap_interval(difference, level)
    return float(difference.mean()), low, high


def evaluate(lr, hr, sr):
    """The metrics of one method that need pixels alone, on one set of images: a dict of arrays (N,).

    Keys: psnr, ssim (RGB, whole image), psnr_y, ssim_y (BT.601, 4 pixels cut), lr_consistency.
    """
    return {
        "psnr": psnr(hr, sr),
        "ssim": ssim(hr, sr),
        "psnr_y": psnr(hr, sr, "y", 4),
        "ssim_y": ssim(hr, sr, "y", 4),
        "lr_consistency": lr_consistency(lr, sr),
    }
