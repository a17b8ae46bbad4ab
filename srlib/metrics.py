"""Image quality with its conventions spelled out. Arguments come as (reference, result).

Images: float32 RGB in [0, 1], (N, H, W, 3); every metric returns one float per image, (N,). Results are
rounded to 8 bits first, because that is what a file, and hence a reader of the number, would hold.
"""

import numpy as np

from . import data

SSIM_SIGMA = 1.5
SSIM_RADIUS = 5  # an 11x11 window


def luma(images):
    """BT.601 luma Y in studio range, 16/255 to 235/255 (what MATLAB's rgb2ycbcr and the papers use).

    images: (..., 3) in [0, 1]; returns (..., 1).
    """
    weights = np.array([65.481, 128.553, 24.966], "float32")
    return (images @ weights[:, None] + 16.0) / 255.0


def prepare(reference, result, channel, shave):
    """Validate a pair, round it to 8 bits, take the channel, cut the border; returns two float32 arrays."""
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
    """Peak signal-to-noise ratio in dB, 10 log10(1 / MSE), peak 1.0; infinite for equal images.

    channel: `rgb` (mean over the three) or `y` (BT.601). shave: pixels cut from every border; the papers'
    protocol is channel="y", shave=4.
    """
    reference, result = prepare(reference, result, channel, shave)
    mse = np.mean(np.square(reference - result, dtype="float64"), axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return -10.0 * np.log10(mse)


def ssim(reference, result, channel="rgb", shave=0):
    """Structural similarity (Wang et al. 2004, eq. 13), mean over windows and channels; 1 for equal images.

    Gaussian window 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, peak 1.0; windows that would leave the
    image are not used, as in the authors' code.
    """
    reference, result = prepare(reference, result, channel, shave)
    if min(reference.shape[1:3]) <= 2 * SSIM_RADIUS:
        raise ValueError(f"SSIM needs images of at least {2 * SSIM_RADIUS + 1} pixels; got {reference.shape[1:3]}")
    scores = [ssim_map(x.astype("float64"), y.astype("float64")).mean() for x, y in zip(reference, result)]
    return np.array(scores)


def ssim_map(x, y):
    """SSIM of every window of one image pair, before the mean: (H, W, C) -> (H - 10, W - 10, C)."""
    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x, var_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))


def local_mean(image):
    """Gaussian-weighted mean of every 11x11 window that lies inside the image, one axis after the other."""
    offsets = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    window = np.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    window /= window.sum()
    height, width = image.shape[0] - 2 * SSIM_RADIUS, image.shape[1] - 2 * SSIM_RADIUS
    rows = sum(w * image[i : i + height] for i, w in enumerate(window))
    return sum(w * rows[:, i : i + width] for i, w in enumerate(window))


def lr_consistency(lr, result):
    """PSNR in dB (RGB, no border cut) between the LR input and the result degraded again.

    An honest super-resolution shrinks back to its input; what it adds may only be what was lost.
    lr: (N, h, w, 3); result: (N, 4h, 4w, 3).
    """
    return psnr(lr, data.degrade(data.quantise(data.check_images(result, "result"))))


def feature_distance(reference, result, features, batch=20):
    """Distance of channel-normalised VGG features, see `losses.feature_distances`; 0 for equal images.

    features: the model of `losses.vgg_features`; numbers from different models do not compare. Not LPIPS.
    """
    from . import losses

    reference, result = prepare(reference, result, "rgb", 0)
    parts = [
        np.asarray(losses.feature_distances(features, reference[i : i + batch], result[i : i + batch]))
        for i in range(0, len(reference), batch)
    ]
    return np.concatenate(parts).astype("float64")


def bootstrap_interval(values, level=0.95, resamples=2000, seed=0):
    """Percentile interval of the mean over images, by resampling the images (Efron 1979).

    values: (N,) floats, one per image. Returns (low, high). Raises `ValueError` for fewer than two values.
    """
    values = np.asarray(values, "float64")
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values have shape {values.shape}; expected one number per image, at least two")
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(resamples)]
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def evaluate(lr, hr, sr, features=None):
    """All metrics of one method on one set of images: a dict of arrays (N,).

    Keys: psnr, ssim (RGB, whole image), psnr_y, ssim_y (BT.601, 4 pixels cut), lr_consistency and, with
    `features`, feature_distance.
    """
    scores = {
        "psnr": psnr(hr, sr),
        "ssim": ssim(hr, sr),
        "psnr_y": psnr(hr, sr, "y", 4),
        "ssim_y": ssim(hr, sr, "y", 4),
        "lr_consistency": lr_consistency(lr, sr),
    }
    if features is not None:
        scores["feature_distance"] = feature_distance(hr, sr, features)
    return scores


def worst_windows(reference, result, size=32, stride=8, count=3):
    """The windows of one image pair with the lowest PSNR (RGB), which do not overlap, worst first.

    reference, result: float32 (H, W, 3) in [0, 1]. Returns a list of (PSNR in dB, (left, upper, right, lower)).
    """
    found = []
    for upper in range(0, reference.shape[0] - size + 1, stride):
        for left in range(0, reference.shape[1] - size + 1, stride):
            window = np.s_[None, upper : upper + size, left : left + size]
            found.append((float(psnr(reference[window], result[window])[0]), (left, upper, left + size, upper + size)))
    chosen = []
    for score, box in sorted(found):
        if all(abs(box[0] - b[0]) >= size or abs(box[1] - b[1]) >= size for _, b in chosen):
            chosen.append((score, box))
    return chosen[:count]


def brightness_and_contrast(pixels):
    """Mean and standard deviation of the luma of each image, two arrays (N,). pixels: uint8 (N, H, W, 3)."""
    parts = [luma(data.to_float(pixels[i : i + 100])) for i in range(0, len(pixels), 100)]
    means, deviations = zip(*[(part.mean(axis=(1, 2, 3)), part.std(axis=(1, 2, 3))) for part in parts])
    return np.concatenate(means).astype("float64"), np.concatenate(deviations).astype("float64")
