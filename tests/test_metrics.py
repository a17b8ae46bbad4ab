"""The metrics against known answers: by hand, published, or from scikit-image, TensorFlow, Pillow and SciPy."""

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import skimage.color
import skimage.metrics
from PIL import Image

from srlib import data, metrics, photos, runtime, vgg

FACES = data.to_float(photos.portraits())
BICUBIC = data.quantise(data.upscale(data.degrade(FACES)))
NUDGED = np.clip(FACES + 0.4 / 255, 0, 1)  # by less than half a level: 8 bits make the same file of it
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "channel_axis": -1}


def noise(seed, shape=(2, 24, 32, 3)):
    return data.quantise(np.random.default_rng(seed).random(shape))


PAIRS = [(noise(1), noise(2)), (FACES, BICUBIC), (FACES, FACES[::-1])]


# --- PSNR, luma, SSIM ------------------------------------------------------------------------------


def test_psnr_by_hand():
    # 4x4 pixels of 3 channels are 48 values; one of them is wrong by 51/255 = 0.2, so MSE = 0.04 / 48 = 1/1200
    reference = np.zeros((1, 4, 4, 3), "float32")
    result = reference.copy()
    result[0, 1, 2, 0] = 0.2
    assert metrics.psnr(reference, result) == pytest.approx(10 * np.log10(1200), abs=1e-4)
    # the wrong pixel is in the border of width 2, but not in that of width 1, which leaves 2x2
    assert metrics.psnr(reference, result, shave=1) == pytest.approx(10 * np.log10(300), abs=1e-4)
    # luma's weights sum to 219/255, so a grey error counts for less: + 20 log10(255/219) dB
    grey = np.full((3, 8, 8, 3), 0.2, "float32")
    np.testing.assert_allclose(metrics.psnr(grey, grey + 0.2), 10 * np.log10(25), atol=1e-4)
    expected = 10 * np.log10(25) + 20 * np.log10(255 / 219)
    np.testing.assert_allclose(metrics.psnr(grey, grey + 0.2, "y"), expected, atol=1e-3)


def test_what_makes_the_same_file_is_equal():
    assert np.all(np.isinf(metrics.psnr(FACES, NUDGED)))
    np.testing.assert_allclose(metrics.ssim(FACES, NUDGED), 1, atol=1e-12)
    np.testing.assert_array_equal(metrics.power_spectrum(FACES), metrics.power_spectrum(NUDGED))


def test_psnr_of_bicubic_on_the_portraits():
    np.testing.assert_allclose(metrics.psnr(FACES, BICUBIC), [24.70, 19.58], atol=0.01)


@pytest.mark.parametrize(("reference", "result"), PAIRS)
def test_psnr_and_ssim_agree_with_scikit_image_and_tensorflow(reference, result):
    tf = runtime.load_tensorflow()
    expected = [skimage.metrics.peak_signal_noise_ratio(x, y, data_range=1) for x, y in zip(reference, result)]
    np.testing.assert_allclose(metrics.psnr(reference, result), expected, atol=1e-4)
    np.testing.assert_allclose(metrics.ssim(reference, result), tf.image.ssim(reference, result, 1.0), atol=1e-4)
    for channel in ("rgb", "y"):
        pair = metrics.checked_pair(reference, result, channel, 4)
        expected = [skimage.metrics.structural_similarity(x, y, **GAUSSIAN) for x, y in zip(*pair)]
        np.testing.assert_allclose(metrics.ssim(reference, result, channel, 4), expected, atol=1e-5)


def test_luma_of_pure_colours_and_of_faces():
    # white, black, red, green, blue, yellow, cyan, magenta: BT.601 in studio range, 8 bits, as the colour bars have it
    colours = np.array([[w, w, w] for w in (1, 0)] + [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]])
    levels = np.rint(255 * metrics.luma(colours.astype("float32")))[:, 0]
    assert levels.tolist() == [235, 16, 81, 145, 41, 210, 170, 106]
    np.testing.assert_allclose(metrics.luma(FACES)[..., 0], skimage.color.rgb2ycbcr(FACES)[..., 0] / 255, atol=1e-6)


def test_ssim_by_hand():
    # two constant images have no variance: only the first factor is left, (2 m n + c1) / (m^2 + n^2 + c1)
    black = np.zeros((1, 11, 11, 3), "float32")
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.04 + 0.36 + 1e-4)
    assert metrics.ssim(black + 0.2, black + 0.6)[0] == pytest.approx(expected, abs=1e-5)
    # one window; x is black, y has one grey pixel in the middle, where the window weighs g^2
    g = 1 / sum(np.exp(-(k**2) / (2 * 1.5**2)) for k in range(-5, 6))
    dot = black.copy()
    dot[0, 5, 5] = 0.6
    mean, c1, c2 = 0.6 * g**2, 1e-4, 9e-4
    expected = c1 * c2 / ((mean**2 + c1) * (0.36 * g**2 - mean**2 + c2))
    assert metrics.ssim(black, dot)[0] == pytest.approx(expected, abs=1e-6)


# --- traps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x * 255, "result.*divide by 255"),
        (lambda x: x * 2 - 1, r"\(x \+ 1\) / 2"),
        (lambda x: data.to_uint8(x), "uint8"),
        (lambda x: x * np.nan, "nan"),
        (lambda x: x[..., :1], "RGB"),
        (lambda x: x[..., [0, 1, 2, 2]], "RGB"),
        (lambda x: x[:1], "equal"),
        (lambda x: x[:, :64], "equal"),
        (lambda x: x[0], "N, H, W, 3"),
        (lambda x: x[:0], "no pixels"),
    ],
)
def test_wrong_images_are_refused(metric, change, message):
    with pytest.raises(ValueError, match=message):
        metric(FACES, change(FACES))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel": "yuv"}, "'rgb' or 'y'"),
        ({"shave": -1}, "shave is -1"),
        ({"shave": 64}, "shave is 64"),
        ({"shave": 59}, "at least 11"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.ssim(**{"reference": FACES, "result": BICUBIC} | arguments)


# --- LR consistency --------------------------------------------------------------------------------


def test_lr_consistency_by_hand():
    assert np.all(np.isinf(metrics.lr_consistency(data.degrade(FACES), FACES)))
    lr, result = np.full((1, 4, 4, 3), 0.2, "float32"), np.full((1, 16, 16, 3), 0.4, "float32")
    assert metrics.lr_consistency(lr, result)[0] == pytest.approx(10 * np.log10(25), abs=1e-4)
    with pytest.raises(ValueError, match="equal"):
        metrics.lr_consistency(FACES, FACES)


def shrink_with_pillow(images):
    """An independent degradation: Pillow on floats, channel by channel, then 8 bits."""
    size = images.shape[2] // 4, images.shape[1] // 4
    planes = [
        Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC)
        for plane in np.moveaxis(images, 3, 1).reshape(-1, *images.shape[1:3])
    ]
    small = np.moveaxis(np.stack(planes).reshape(-1, 3, *size[::-1]), 1, 3)
    return np.rint(np.clip(small, 0, 1) * 255) / 255


@pytest.mark.parametrize(("reference", "result"), PAIRS)
def test_lr_consistency_agrees_with_pillow_and_scikit_image(reference, result):
    pairs = zip(shrink_with_pillow(reference), shrink_with_pillow(result))
    expected = [skimage.metrics.peak_signal_noise_ratio(x, y, data_range=1) for x, y in pairs]
    np.testing.assert_allclose(metrics.lr_consistency(data.degrade(reference), result), expected, atol=1e-3)


# --- feature distance, Frechet distance ------------------------------------------------------------


@pytest.fixture(scope="module")
def features():
    try:
        return vgg.features()
    except FileNotFoundError as error:
        pytest.skip(f"no VGG weights here: {str(error).splitlines()[0]}")


def vgg_by_hand(arrays, images):
    """VGG16's five taps in NumPy alone: one matrix product per convolution, 2x2 maxima between the blocks."""
    x, taps = (images[..., ::-1] * 255.0 - np.array([103.939, 116.779, 123.68])).astype("float64"), []
    for name in sorted(arrays):
        kernel, bias = arrays[name]
        if name.endswith("_conv1") and name != "block1_conv1":
            n, height, width, channels = x.shape
            x = x.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # (N, H, W, C, 3, 3)
        x = np.maximum(np.tensordot(windows, kernel, ([4, 5, 3], [0, 1, 2])) + bias, 0)
        if name in vgg.TAPS:
            taps.append(x)
    return taps


def test_feature_distance_agrees_with_numpy(features):
    arrays = {layer.name: layer.get_weights() for layer in features.layers if "_conv" in layer.name}
    assert len(arrays) == 13
    reference = np.concatenate([FACES[:, 40:72, 48:80], noise(5, (1, 32, 32, 3))])
    result = np.concatenate([BICUBIC[:, 40:72, 48:80], noise(6, (1, 32, 32, 3))])
    expected, taps = 0.0, [vgg_by_hand(arrays, images) for images in (reference, result)]
    for x, y in zip(*taps):
        x, y = (z / np.sqrt((z**2).sum(axis=-1, keepdims=True) + 1e-10) for z in (x, y))
        expected = expected + ((x - y) ** 2).sum(axis=-1).mean(axis=(1, 2))
    np.testing.assert_allclose(metrics.feature_distance(reference, result, features), expected, rtol=1e-3)
    np.testing.assert_allclose(metrics.feature_distance(reference, result, features, batch=2), expected, rtol=1e-3)
    np.testing.assert_allclose(metrics.feature_distance(result, result, features), 0, atol=1e-5)


def with_moments(mean, covariance, count, seed):
    """Vectors whose sample mean and sample covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(count, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(x.T)))).T
    return x @ np.linalg.cholesky(np.atleast_2d(covariance)).T + mean


def test_frechet_distance_of_gaussians_in_closed_form():
    one, two = with_moments([1.0], [[4.0]], 30, 0), with_moments([3.0], [[0.25]], 50, 1)
    assert metrics.frechet_distance(one, two) == pytest.approx((1 - 3) ** 2 + (2 - 0.5) ** 2, abs=1e-9)
    # covariances that commute: |m1 - m2|^2 plus the squared difference of the standard deviations
    one = with_moments([0, 0, 0], np.diag([1, 4, 9.0]), 40, 2)
    two = with_moments([1, 0, -1], np.diag([4, 4, 1.0]), 40, 3)
    assert metrics.frechet_distance(one, two) == pytest.approx(2 + 1 + 0 + 4, abs=1e-9)
    assert metrics.frechet_distance(one, one[::-1]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("count", [200, 20])  # 20 vectors of 32 numbers: the covariances are singular
def test_frechet_distance_agrees_with_scipys_matrix_root(count):
    rng = np.random.default_rng(4)
    one, two = (rng.normal(size=(count, 32)) @ rng.normal(size=(32, 32)) + shift for shift in (0, 0.5))
    first, second = np.cov(one.T), np.cov(two.T)
    root = scipy.linalg.sqrtm(first @ second).real
    expected = np.square(one.mean(0) - two.mean(0)).sum() + np.trace(first + second - 2 * root)
    assert metrics.frechet_distance(one, two) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("shapes", [((5, 3), (5, 4)), ((1, 3), (5, 3)), ((5,), (5,))])
def test_frechet_distance_refuses_what_it_cannot_describe(shapes):
    with pytest.raises(ValueError, match="expected"):
        metrics.frechet_distance(*(np.zeros(shape) for shape in shapes))


# --- spectra ---------------------------------------------------------------------------------------


def grey(plane):
    """Luma of 219/255 times what is added to mid-grey; no frequency but zero has anything of the grey."""
    return (0.5 + np.asarray(plane)[..., None] * np.ones(3)).astype("float32")


def wave(ky, kx, amplitude, size=128):
    y, x = np.mgrid[:size, :size]
    return amplitude * np.cos(2 * np.pi * (ky * y + kx * x) / size)


TEXTURES = np.random.default_rng(10).normal(0, 0.05, (16, 128, 128))
PLANES = np.concatenate([TEXTURES, -TEXTURES])  # with both signs, what is added to all adds to their mean power alone


def test_power_spectrum_agrees_with_scipy_and_with_a_wave_by_hand():
    images = FACES[:, :95, :120]
    window = np.outer(scipy.signal.windows.hann(95), scipy.signal.windows.hann(120))
    transforms = scipy.fft.fft2(window * skimage.color.rgb2ycbcr(images)[..., 0] / 255)
    expected = scipy.fft.fftshift((np.abs(transforms) ** 2).mean(axis=0))
    np.testing.assert_allclose(metrics.power_spectrum(images), expected, rtol=1e-3, atol=1e-3)
    power = metrics.power_spectrum(grey(wave(-20, 35, 0.2)))
    for place in ((64 - 20, 64 + 35), (64 + 20, 64 - 35)):  # half of the amplitude each; a Hann window sums to 63.5
        assert power[place] == pytest.approx((219 / 255 * 0.2 / 2 * 63.5**2) ** 2, rel=2e-3)


@pytest.mark.parametrize("frequency", [(16, 46), (40, -10), (0, 55)])
def test_the_weave_is_found_where_it_was_put(frequency):
    before, after = (metrics.power_spectrum(grey(x)) for x in (PLANES, PLANES + wave(*frequency, 0.02)))
    around = scipy.ndimage.uniform_filter(before, 3, mode="wrap")[64 + frequency[0], 64 + frequency[1]]
    added = (219 / 255 * 0.02 / 2 * 63.5**2) ** 2 * (1 + 1 / 4 + 1 / 4) ** 2 / 9
    value, place = metrics.weave(before, after)
    assert np.abs(np.subtract(place, frequency)).max() <= 1
    assert 1 + added / around <= value * 1.02 and value < 1 + 2 * added / around
    assert metrics.weave(before, after, above=63)[0] == pytest.approx(1, abs=0.1)


def test_a_mean_over_directions_does_not_see_what_the_weave_sees():
    before, after = (metrics.power_spectrum(grey(x)) for x in (PLANES, PLANES + wave(16, 46, 0.02)))
    assert metrics.weave(before, after)[0] > 3 and metrics.high_frequency_power(before, after) < 1.2


def test_high_frequency_power_of_less_contrast_and_of_a_blur():
    photos = metrics.power_spectrum(grey(PLANES))
    assert metrics.high_frequency_power(photos, photos) == 1 and metrics.weave(photos, photos)[0] == 1
    half = metrics.power_spectrum(grey(PLANES / 2))
    assert metrics.high_frequency_power(photos, half) == pytest.approx(1 / 4, rel=0.01)
    blur = scipy.ndimage.convolve(PLANES, np.outer([1, 2, 1], [1, 2, 1])[None] / 16, mode="wrap")
    k = np.arange(-64, 64)  # a binomial filter passes cos(pi k / N)^2 of a wave, along each axis
    radius = np.hypot(k[:, None], k)
    power = photos * ((radius > 28) & (radius <= 64))
    passed = np.outer(np.cos(np.pi * k / 128), np.cos(np.pi * k / 128)) ** 4
    expected = (power * passed).sum() / power.sum()
    smoother = metrics.power_spectrum(grey(blur))
    assert metrics.high_frequency_power(photos, smoother) == pytest.approx(expected, rel=0.02)


def test_spectra_that_do_not_compare_are_refused():
    power = metrics.power_spectrum(FACES)
    with pytest.raises(ValueError, match="equal ones"):
        metrics.weave(power, power[:, :64])
    with pytest.raises(ValueError, match="above is 64"):
        metrics.high_frequency_power(power, power, above=64)


# --- intervals -------------------------------------------------------------------------------------


def test_bootstrap_interval_agrees_with_the_normal_one():
    values = np.random.default_rng(3).normal(26, 2, 1600)
    standard = values.std() / np.sqrt(1600)
    for level, quantile in ((0.95, 1.960), (0.5, 0.674)):
        expected = values.mean() + standard * np.array([-quantile, quantile])
        np.testing.assert_allclose(metrics.bootstrap_interval(values, level), expected, atol=0.15 * standard)
    assert metrics.bootstrap_interval(values) == metrics.bootstrap_interval(values)


def test_paired_interval_sees_what_two_intervals_do_not():
    rng = np.random.default_rng(8)
    first = rng.normal(27, 2, 200)
    second = first + rng.normal(0.1, 0.2, 200)
    mean, low, high = metrics.paired_interval(first, second)
    assert mean == pytest.approx((second - first).mean()) and 0 < low < mean < high
    assert metrics.bootstrap_interval(first)[1] > metrics.bootstrap_interval(second)[0]


def test_infinite_scores_stay_out_of_means_and_intervals():
    """A flat image that is reproduced exactly: its PSNR is infinite, and an interval once ended at NaN."""
    flat = np.full((1, 128, 128, 3), 0.5, "float32")
    scores = metrics.psnr(np.concatenate([FACES, flat]), np.concatenate([BICUBIC, flat]))
    assert np.isinf(scores[2]) and list(metrics.finite_scores(scores)) == list(scores[:2])
    assert metrics.bootstrap_interval(scores) == metrics.bootstrap_interval(scores[:2])
    other = np.array([*(scores[:2] + 1), 40.0])  # does not reproduce the flat image
    for pair, gain in (((scores, other), 1), ((other, scores), -1), ((scores, scores), 0)):
        np.testing.assert_allclose(metrics.paired_interval(*pair), (gain, gain, gain))
    tie = metrics.paired_interval(
        [np.inf, 1.0, 2.0], [np.inf, 2.0, 3.0]
    )  # an image without a difference, and it counts
    assert tie[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "values", [[], [1.0], [np.inf, 1.0, np.inf], [[1.0, 2.0], [3.0, 4.0]], 3.0, [1.0, np.nan, 2.0]]
)
def test_scores_without_an_interval_are_refused(values):
    with pytest.raises(ValueError, match="values hold [01] finite numbers|values have shape|1 NaN of 3.*image 1"):
        metrics.bootstrap_interval(values)
    with pytest.raises(ValueError, match="values hold [01] finite numbers|differences have shape|1 NaN of 3.*image 1"):
        metrics.paired_interval(np.zeros_like(values), values)
    with pytest.raises(ValueError, match="same images"):
        metrics.paired_interval(np.zeros(4), values)


# --- all together ----------------------------------------------------------------------------------


def test_evaluate_holds_every_metric_and_leaves_the_images_alone():
    before = FACES.copy(), BICUBIC.copy()
    scores = metrics.evaluate(data.degrade(FACES), FACES, BICUBIC)
    np.testing.assert_array_equal([FACES, BICUBIC], before)
    np.testing.assert_allclose(scores["psnr_y"], metrics.psnr(FACES, BICUBIC, "y", 4))
    assert list(scores) == ["psnr", "ssim", "psnr_y", "ssim_y", "lr_consistency"]
    assert {values.shape for values in scores.values()} == {(2,)}
