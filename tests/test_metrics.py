"""The metrics against known answers: by hand, published, or from scikit-image, TensorFlow, Pillow and SciPy."""

import numpy as np
import pytest
import skimage.metrics
from PIL import Image

from srlib import data, metrics, runtime


@pytest.fixture(scope="module")
def faces():
    return data.to_float(data.portraits())


@pytest.fixture(scope="module")
def bicubic(faces):
    return data.upscale(data.degrade(faces))


def noise(seed, shape=(2, 24, 32, 3)):
    return data.quantise(np.random.default_rng(seed).random(shape))


def pairs_of_images(faces, bicubic):
    return [(noise(1), noise(2)), (faces, data.quantise(bicubic)), (faces, faces[::-1])]


# --- PSNR ------------------------------------------------------------------------------------------


def test_psnr_by_hand():
    # 4x4 pixels of 3 channels are 48 values; one of them is wrong by 51/255 = 0.2, so MSE = 0.04 / 48 = 1/1200
    reference = np.zeros((1, 4, 4, 3), "float32")
    result = reference.copy()
    result[0, 1, 2, 0] = 0.2
    assert metrics.psnr(reference, result) == pytest.approx(10 * np.log10(1200), abs=1e-4)
    # the wrong pixel is in the border of width 2, but not in that of width 1, which leaves 2x2
    assert metrics.psnr(reference, result, shave=1) == pytest.approx(10 * np.log10(300), abs=1e-4)


def test_psnr_of_a_constant_error():
    reference = np.full((3, 8, 8, 3), 0.2, "float32")
    np.testing.assert_allclose(metrics.psnr(reference, reference + 0.2), 10 * np.log10(25), atol=1e-4)
    # luma's weights sum to 219/255, so the same grey error counts for less: + 20 log10(255/219) dB
    expected = 10 * np.log10(25) + 20 * np.log10(255 / 219)
    np.testing.assert_allclose(metrics.psnr(reference, reference + 0.2, "y"), expected, atol=1e-3)


def test_psnr_of_equal_images_is_infinite(faces):
    assert np.all(np.isinf(metrics.psnr(faces, faces)))


def test_psnr_agrees_with_scikit_image(faces, bicubic):
    for reference, result in pairs_of_images(faces, bicubic):
        expected = [skimage.metrics.peak_signal_noise_ratio(x, y, data_range=1) for x, y in zip(reference, result)]
        np.testing.assert_allclose(metrics.psnr(reference, result), expected, atol=1e-4)


def test_psnr_and_ssim_agree_with_tensorflow(faces, bicubic):
    tf = runtime.load_tensorflow()
    for reference, result in pairs_of_images(faces, bicubic):
        np.testing.assert_allclose(metrics.psnr(reference, result), tf.image.psnr(reference, result, 1.0), atol=1e-3)
        np.testing.assert_allclose(metrics.ssim(reference, result), tf.image.ssim(reference, result, 1.0), atol=1e-4)


def test_psnr_sees_eight_bits(faces):
    nudged = np.clip(faces + 0.4 / 255, 0, 1)  # less than half a level: the file would be the same
    assert np.all(np.isinf(metrics.psnr(faces, nudged)))


def test_psnr_of_bicubic_on_the_portraits(faces, bicubic):
    np.testing.assert_allclose(metrics.psnr(faces, bicubic), [24.70, 19.58], atol=0.01)


def test_shave_equals_cutting(faces, bicubic):
    inner = np.s_[:, 4:-4, 4:-4]
    for channel in ("rgb", "y"):
        cut = metrics.psnr(faces[inner], bicubic[inner], channel)
        np.testing.assert_allclose(metrics.psnr(faces, bicubic, channel, shave=4), cut)


def test_rgb_and_y_differ(faces, bicubic):
    difference = metrics.psnr(faces, bicubic, "y") - metrics.psnr(faces, bicubic)
    assert np.all((difference > 0.5) & (difference < 3))


def test_antialiasing_is_another_task(faces):
    def shrink_and_enlarge(antialias):
        return data.upscale(data.quantise(data.resize(faces, (32, 32), antialias=antialias)))

    honest, aliased = (metrics.psnr(faces, shrink_and_enlarge(antialias)) for antialias in (True, False))
    assert np.all(honest - aliased > 0.5)


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
def test_eight_bit_pixels_and_floats_give_the_same_number(faces, bicubic, metric):
    expected = metric(faces, bicubic, "y", 4)
    pixels = data.to_uint8(faces), data.to_uint8(bicubic)
    np.testing.assert_allclose(metric(*pixels, "y", 4, data_range=255), expected, atol=1e-5)
    as_floats = [array.astype("float64") for array in pixels]
    np.testing.assert_allclose(metric(*as_floats, "y", 4, data_range=255), expected, atol=1e-5)


def test_the_wrong_peak_is_worth_48_decibels(faces, bicubic):
    # what `metrics.psnr` refuses to compute, by another library: pixels in [0, 1] under a peak of 255
    wrong = skimage.metrics.peak_signal_noise_ratio(faces[0], data.quantise(bicubic[0]), data_range=255)
    assert wrong - metrics.psnr(faces, bicubic)[0] == pytest.approx(20 * np.log10(255), abs=1e-3)


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
def test_a_data_range_that_the_pixels_deny_is_refused(faces, bicubic, metric):
    with pytest.raises(ValueError, match="use data_range=1"):
        metric(faces, bicubic, data_range=255)
    with pytest.raises(ValueError, match="result.*divide by 255"):
        metric(faces, 255 * bicubic, data_range=1)
    with pytest.raises(ValueError, match=r"result spans .*\[0, 1\]"):
        metric(255 * faces, 300 + 0 * bicubic, data_range=255)
    with pytest.raises(ValueError, match="data_range is 2"):
        metric(faces, bicubic, data_range=2)


def test_black_pixels_fit_both_ranges():
    black = np.zeros((1, 16, 16, 3))
    assert np.isinf(metrics.psnr(black, black, data_range=255)[0]) and np.isinf(metrics.psnr(black, black)[0])


# --- luma ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "level"),
    [  # BT.601 in studio range, 8 bits: ITU-R BT.601, and the 75 % and 100 % colour bars of textbooks
        ((255, 255, 255), 235),
        ((0, 0, 0), 16),
        ((255, 0, 0), 81),
        ((0, 255, 0), 145),
        ((0, 0, 255), 41),
        ((255, 255, 0), 210),
        ((0, 255, 255), 170),
        ((255, 0, 255), 106),
    ],
)
def test_luma_of_pure_colours(colour, level):
    pixel = data.to_float(np.array([[[colour]]], "uint8"))
    assert round(float(metrics.luma(pixel)[0, 0, 0, 0]) * 255) == level


def test_luma_agrees_with_scikit_image(faces):
    import skimage.color

    expected = skimage.color.rgb2ycbcr(faces)[..., :1] / 255
    np.testing.assert_allclose(metrics.luma(faces), expected, atol=1e-6)


# --- SSIM ------------------------------------------------------------------------------------------

GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "channel_axis": -1}


def test_ssim_agrees_with_scikit_image(faces, bicubic):
    for reference, result in pairs_of_images(faces, bicubic):
        for channel in ("rgb", "y"):
            pair = metrics.prepare(reference, result, channel, 0)
            expected = [skimage.metrics.structural_similarity(x, y, **GAUSSIAN) for x, y in zip(*pair)]
            np.testing.assert_allclose(metrics.ssim(reference, result, channel), expected, atol=1e-5)


def test_ssim_map_agrees_with_scikit_image(faces, bicubic):
    x, y = faces[0].astype("float64"), data.quantise(bicubic)[0].astype("float64")
    _, expected = skimage.metrics.structural_similarity(x, y, full=True, **GAUSSIAN)
    np.testing.assert_allclose(metrics.ssim_map(x, y), expected[5:-5, 5:-5], atol=1e-6)


def test_ssim_by_hand():
    # two constant images have no variance: only the first factor is left, (2 m n + c1) / (m^2 + n^2 + c1)
    black, grey = np.full((1, 11, 11, 3), 0.2, "float32"), np.full((1, 11, 11, 3), 0.6, "float32")
    assert metrics.ssim(black, grey)[0] == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.04 + 0.36 + 1e-4), abs=1e-5)


def test_ssim_of_a_dot_by_hand():
    # one window; x is black, y has one grey pixel in the middle, where the window weighs w = g^2
    g = 1 / sum(np.exp(-(k**2) / (2 * 1.5**2)) for k in range(-5, 6))
    black, dot = np.zeros((1, 11, 11, 3), "float32"), np.zeros((1, 11, 11, 3), "float32")
    dot[0, 5, 5] = 0.6
    mean, c1, c2 = 0.6 * g**2, 1e-4, 9e-4
    variance = 0.36 * g**2 - mean**2
    expected = c1 * c2 / ((mean**2 + c1) * (variance + c2))
    assert metrics.ssim(black, dot)[0] == pytest.approx(expected, abs=1e-6)


def test_scikit_images_default_is_another_ssim(faces, bicubic):
    pair = faces[0], data.quantise(bicubic[0])
    default = skimage.metrics.structural_similarity(*pair, data_range=1, channel_axis=-1)
    assert abs(default - metrics.ssim(faces, bicubic)[0]) > 0.02


def test_ssim_of_equal_images_is_one(faces):
    np.testing.assert_allclose(metrics.ssim(faces, faces), 1, atol=1e-12)


def test_ssim_needs_a_window():
    with pytest.raises(ValueError, match="at least 11"):
        metrics.ssim(np.zeros((1, 10, 20, 3), "float32"), np.zeros((1, 10, 20, 3), "float32"))


# --- traps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x * 255, "divide by 255"),
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
def test_wrong_images_are_refused(faces, metric, change, message):
    with pytest.raises(ValueError, match=message):
        metric(faces, change(faces))


def test_wrong_arguments_are_refused(faces):
    with pytest.raises(ValueError, match="'rgb' or 'y'"):
        metrics.psnr(faces, faces, "yuv")
    for shave in (-1, 64):
        with pytest.raises(ValueError, match="shave"):
            metrics.psnr(faces, faces, shave=shave)


def test_arguments_stay_as_they_were(faces, bicubic):
    before = faces.copy(), bicubic.copy()
    metrics.evaluate(data.degrade(faces), faces, bicubic)
    np.testing.assert_array_equal(faces, before[0])
    np.testing.assert_array_equal(bicubic, before[1])


# --- LR consistency --------------------------------------------------------------------------------


def test_lr_consistency_of_the_original_is_infinite(faces):
    assert np.all(np.isinf(metrics.lr_consistency(data.degrade(faces), faces)))


def shrink_with_pillow(images):
    """An independent degradation: Pillow on floats, channel by channel, then 8 bits."""
    size = images.shape[2] // 4, images.shape[1] // 4
    planes = [
        [np.asarray(Image.fromarray(image[..., c], "F").resize(size, Image.Resampling.BICUBIC)) for c in range(3)] for image in images
    ]
    return np.rint(np.clip(np.moveaxis(np.array(planes), 1, -1), 0, 1) * 255) / 255


def test_lr_consistency_agrees_with_pillow_and_scikit_image(faces, bicubic):
    for reference, result in pairs_of_images(faces, bicubic):
        lr, small = data.degrade(reference), shrink_with_pillow(data.quantise(result))
        expected = [skimage.metrics.peak_signal_noise_ratio(x.astype("float64"), y, data_range=1) for x, y in zip(lr, small)]
        np.testing.assert_allclose(metrics.lr_consistency(lr, result), expected, atol=1e-3)


def test_lr_consistency_of_a_constant_by_hand():
    lr, result = np.full((1, 4, 4, 3), 0.2, "float32"), np.full((1, 16, 16, 3), 0.4, "float32")
    assert metrics.lr_consistency(lr, result)[0] == pytest.approx(10 * np.log10(25), abs=1e-4)


def test_lr_consistency_of_a_tint_is_low(faces, bicubic):
    lr = data.degrade(faces)
    assert np.all(metrics.lr_consistency(lr, bicubic) > 30)
    tinted = np.clip(bicubic * np.float32([1.1, 1, 1]), 0, 1)
    assert np.all(metrics.lr_consistency(lr, tinted) < 30)


def test_lr_consistency_refuses_another_scale(faces):
    with pytest.raises(ValueError, match="equal"):
        metrics.lr_consistency(faces, faces)


# --- feature distance ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def features():
    losses = pytest.importorskip("srlib.losses")
    try:
        return losses.vgg_features()
    except FileNotFoundError as error:
        pytest.skip(f"no VGG weights here: {str(error).splitlines()[0]}")


def test_feature_distance_of_equal_images_is_zero(faces, features):
    np.testing.assert_allclose(metrics.feature_distance(faces, faces, features), 0, atol=1e-5)


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
        if name in ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"):
            taps.append(x)
    return taps


def test_feature_distance_agrees_with_numpy(faces, bicubic, features):
    arrays = {layer.name: layer.get_weights() for layer in features.layers if "_conv" in layer.name}
    assert len(arrays) == 13
    crop = np.s_[:, 40:72, 48:80]
    for reference, result in [(noise(5, (2, 32, 32, 3)), noise(6, (2, 32, 32, 3))), (faces[crop], data.quantise(bicubic)[crop])]:
        expected, taps = 0.0, [vgg_by_hand(arrays, images) for images in (reference, result)]
        for x, y in zip(*taps):
            x, y = (z / np.sqrt((z**2).sum(axis=-1, keepdims=True) + 1e-10) for z in (x, y))
            expected = expected + ((x - y) ** 2).sum(axis=-1).mean(axis=(1, 2))
        np.testing.assert_allclose(metrics.feature_distance(reference, result, features), expected, rtol=1e-3)
        pooled = metrics.pooled_features(result, features, "block4_conv3")
        np.testing.assert_allclose(pooled, taps[1][3].mean(axis=(1, 2)), rtol=1e-3, atol=1e-3)


def test_feature_distance_grows_with_the_damage(faces, bicubic, features):
    half = (faces + bicubic) / 2
    near, far = (metrics.feature_distance(faces, x, features) for x in (half, bicubic))
    assert np.all((0.01 < near) & (near < far))


def test_feature_distance_does_not_depend_on_the_batch(faces, bicubic, features):
    together = metrics.feature_distance(faces, bicubic, features)
    apart = metrics.feature_distance(faces, bicubic, features, batch=1)
    np.testing.assert_allclose(together, apart, rtol=1e-4)


# --- Frechet distance ------------------------------------------------------------------------------


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
    one, two = with_moments([0, 0, 0], np.diag([1, 4, 9.0]), 40, 2), with_moments([1, 0, -1], np.diag([4, 4, 1.0]), 40, 3)
    assert metrics.frechet_distance(one, two) == pytest.approx(2 + 1 + 0 + 4, abs=1e-9)


@pytest.mark.parametrize("count", [200, 20])  # 20 vectors of 32 numbers: the covariances are singular
def test_frechet_distance_agrees_with_scipys_matrix_root(count):
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(4)
    one, two = (rng.normal(size=(count, 32)) @ rng.normal(size=(32, 32)) + shift for shift in (0, 0.5))
    first, second = np.cov(one.T), np.cov(two.T)
    root = linalg.sqrtm(first @ second).real
    expected = np.square(one.mean(0) - two.mean(0)).sum() + np.trace(first + second - 2 * root)
    assert metrics.frechet_distance(one, two) == pytest.approx(expected, rel=1e-3)


def test_frechet_distance_of_a_shift_of_equal_and_of_turned_sets():
    x = np.random.default_rng(5).normal(size=(100, 8))
    assert metrics.frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-9)
    assert metrics.frechet_distance(x, x + 2) == pytest.approx(8 * 4, abs=1e-9)
    y = x @ np.random.default_rng(6).normal(size=(8, 8))
    assert metrics.frechet_distance(x, y) == pytest.approx(metrics.frechet_distance(y, x))


def test_frechet_distance_is_biased_and_less_so_for_more_images():
    rng = np.random.default_rng(7)  # one distribution throughout: the true distance is 0
    means = [np.mean([metrics.frechet_distance(*rng.normal(size=(2, count, 24))) for _ in range(5)]) for count in (100, 200, 400)]
    assert means[2] > 0.1
    np.testing.assert_allclose([means[0] / means[1], means[1] / means[2]], 2, rtol=0.2)


@pytest.mark.parametrize("shapes", [((5, 3), (5, 4)), ((1, 3), (5, 3)), ((5,), (5,))])
def test_frechet_distance_refuses_what_it_cannot_describe(shapes):
    with pytest.raises(ValueError, match="expected"):
        metrics.frechet_distance(*(np.zeros(shape) for shape in shapes))


def test_pooled_features_name_the_taps_there_are(faces, features):
    with pytest.raises(ValueError, match="block9_conv1.*block4_conv3"):
        metrics.pooled_features(faces, features, "block9_conv1")


def test_pooled_features_of_a_network_with_one_tap(faces):
    class OneTap:
        output_names = ["block1_conv1"]

        def __call__(self, images):
            return images[..., :2]  # as Keras, which returns no list for a single output

    np.testing.assert_allclose(metrics.pooled_features(faces, OneTap(), "block1_conv1"), faces[..., :2].mean(axis=(1, 2)), atol=1e-2)


# --- spread ----------------------------------------------------------------------------------------


def test_bootstrap_interval_covers_the_mean_and_shrinks():
    values = np.random.default_rng(3).normal(26, 2, 1600)
    widths = []
    for count in (25, 100, 400, 1600):
        low, high = metrics.bootstrap_interval(values[:count])
        assert low < values[:count].mean() < high
        widths.append(high - low)
    # the width is 2 * 1.96 * sd / sqrt(n): half as wide for four times as many images
    np.testing.assert_allclose(widths, [2 * 1.96 * 2 / np.sqrt(n) for n in (25, 100, 400, 1600)], rtol=0.25)
    assert widths == sorted(widths, reverse=True)


def test_bootstrap_interval_has_its_coverage():
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(100):
        low, high = metrics.bootstrap_interval(rng.normal(0, 1, 50), resamples=400)
        hits += low < 0 < high
    assert 0.87 <= hits / 100 <= 0.99


def test_bootstrap_interval_repeats_and_widens():
    values = np.arange(30.0)
    assert metrics.bootstrap_interval(values) == metrics.bootstrap_interval(values)
    narrow, wide = metrics.bootstrap_interval(values, level=0.5), metrics.bootstrap_interval(values, level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert metrics.bootstrap_interval([2.0, 2.0]) == (2.0, 2.0)


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0], [3.0, 4.0]], 3.0])
def test_bootstrap_interval_refuses_too_little(values):
    with pytest.raises(ValueError, match="at least two"):
        metrics.bootstrap_interval(values)


def test_paired_interval_sees_what_two_intervals_do_not():
    rng = np.random.default_rng(8)
    first = rng.normal(27, 2, 200)
    second = first + rng.normal(0.1, 0.2, 200)
    mean, low, high = metrics.paired_interval(first, second)
    assert mean == pytest.approx((second - first).mean()) and 0 < low < mean < high
    assert metrics.bootstrap_interval(first)[1] > metrics.bootstrap_interval(second)[0]
    swapped = metrics.paired_interval(second, first)
    np.testing.assert_allclose(swapped, (-mean, -high, -low), atol=0.01)


def test_paired_interval_calls_equal_methods_equal():
    hits, rng = 0, np.random.default_rng(9)
    for _ in range(100):
        first = rng.normal(27, 2, 60)
        _, low, high = metrics.paired_interval(first, first + rng.normal(0, 0.3, 60))
        hits += low <= 0 <= high
    assert 0.87 <= hits / 100 <= 0.99
    assert metrics.paired_interval([1.0, 2.0], [1.0, 2.0]) == (0, 0, 0)


def test_equal_and_infinite_scores_are_a_tie():
    scores = np.array([np.inf, 27.0, 31.0])  # a flat image is restored without an error
    assert metrics.paired_interval(scores, scores) == (0, 0, 0)


def test_paired_interval_wants_the_same_images():
    with pytest.raises(ValueError, match="same images"):
        metrics.paired_interval(np.zeros(5), np.zeros(6))


# --- windows, brightness ---------------------------------------------------------------------------


def test_worst_window_is_where_the_damage_is(faces):
    damaged = faces[0].copy()
    damaged[40:56, 64:80] = 0
    (score, box), second = metrics.worst_windows(faces[0], damaged, size=16, count=2)
    assert box == (64, 40, 80, 56)
    assert score < second[0]


def test_worst_windows_do_not_overlap(faces, bicubic):
    found = metrics.worst_windows(faces[1], bicubic[1], count=4)
    assert [score for score, _ in found] == sorted(score for score, _ in found)
    used = np.zeros((128, 128), int)
    for _, (left, upper, right, lower) in found:
        used[upper:lower, left:right] += 1
    assert used.max() == 1 and used.sum() == 4 * 32 * 32


def test_brightness_and_contrast():
    images = np.zeros((2, 8, 8, 3), "uint8")
    images[1, :4] = 255
    brightness, contrast = metrics.brightness_and_contrast(images)
    np.testing.assert_allclose(brightness, [16 / 255, (16 + 235) / 510], atol=1e-6)
    np.testing.assert_allclose(contrast, [0, 219 / 510], atol=1e-6)


def test_evaluate_holds_every_metric(faces, bicubic):
    scores = metrics.evaluate(data.degrade(faces), faces, bicubic)
    assert set(scores) == {"psnr", "ssim", "psnr_y", "ssim_y", "lr_consistency"}
    assert all(values.shape == (2,) for values in scores.values())
    np.testing.assert_allclose(scores["psnr_y"], metrics.psnr(faces, bicubic, "y", 4))


def test_evaluate_adds_what_needs_features(faces, bicubic, features):
    scores = metrics.evaluate(data.degrade(faces), faces, bicubic, features)
    assert set(scores) > {"feature_distance", "pooled_hr", "pooled_sr"} and scores["pooled_sr"].shape == (2, 512)
    np.testing.assert_allclose(scores["pooled_hr"], metrics.pooled_features(faces, features))
