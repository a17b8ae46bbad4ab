"""The metrics against known answers: by hand, published, or from scikit-image."""

import numpy as np
import pytest
import skimage.metrics

from srlib import data, metrics


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


def test_feature_distance_grows_with_the_damage(faces, bicubic, features):
    half = (faces + bicubic) / 2
    near, far = (metrics.feature_distance(faces, x, features) for x in (half, bicubic))
    assert np.all((0.01 < near) & (near < far))


def test_feature_distance_does_not_depend_on_the_batch(faces, bicubic, features):
    together = metrics.feature_distance(faces, bicubic, features)
    apart = metrics.feature_distance(faces, bicubic, features, batch=1)
    np.testing.assert_allclose(together, apart, rtol=1e-4)


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
