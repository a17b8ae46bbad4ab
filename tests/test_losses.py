"""Losses by hand, and where their gradients go."""

import keras
import numpy as np
import pytest
import scipy.ndimage

from srlib import data, losses, photos, vgg


def test_a_guessing_discriminator_pays_ln_2():
    zeros = np.zeros((4, 1), "float32")
    assert float(losses.discriminator_loss(zeros, zeros)) == pytest.approx(np.log(2))
    assert float(losses.generator_loss(zeros)) == pytest.approx(np.log(2))


def test_losses_from_logits_are_finite_where_sigmoid_and_log_are_not():
    big = np.full((1, 1), 200.0, "float32")
    assert float(losses.discriminator_loss(-big, big)) == pytest.approx(200.0)
    assert float(losses.generator_loss(-big)) == pytest.approx(200.0)


def test_pixel_losses_by_hand():
    hr, sr = np.zeros((1, 1, 2, 3), "float32"), np.full((1, 1, 2, 3), 0.5, "float32")
    assert float(losses.l1_loss(hr, sr)) == 0.5 and float(losses.mse_loss(hr, sr)) == 0.25


def test_pixel_losses_are_float32_in_half_precision():
    hr = keras.ops.cast(np.zeros((4, 128, 128, 3)), "float16")
    assert losses.mse_loss(hr, hr + 0.01).dtype == "float32"


def test_lattice_loss_sees_a_checkerboard_and_nothing_else():
    rng = np.random.default_rng(0)
    hr = rng.random((1, 64, 64, 3)).astype("float32")
    brighter = hr + 0.1  # an error, but the same in every phase
    grid = hr.copy()
    grid[:, ::2] += 0.02  # half of the phases deviate by 0.01 to either side
    assert float(losses.lattice_loss(hr, hr)) == 0
    assert float(losses.lattice_loss(hr, brighter)) == pytest.approx(0, abs=1e-6)
    assert float(losses.lattice_loss(hr, grid)) == pytest.approx(0.01, rel=1e-3)
    noise = hr + 0.02 * rng.choice([-1, 1], hr.shape).astype(
        "float32"
    )  # a larger error than the grid's, at random places
    assert float(losses.lattice_loss(hr, noise)) < 0.6 * float(losses.lattice_loss(hr, grid))
    with pytest.raises(ValueError, match="at least 16 pixels a side"):
        losses.lattice_loss(hr[:, :12], hr[:, :12])


def test_spectral_loss_agrees_with_numpy_and_sees_a_weave_but_no_place():
    hr = data.to_float(photos.portraits())[:, :96, :120]
    rng = np.random.default_rng(0)
    sr = np.clip(hr + rng.normal(0, 0.05, hr.shape), 0, 1).astype("float32")
    window = np.hanning(96)[:, None] * np.hanning(120)
    powers = [np.mean([np.abs(np.fft.fft2(window * (x @ [0.299, 0.587, 0.114]))) ** 2 for x in s], 0) for s in (hr, sr)]
    smooth = [scipy.ndimage.uniform_filter(power, 3, mode="wrap") for power in powers]
    fine = np.hypot(np.fft.fftfreq(96)[:, None], np.fft.fftfreq(120)) > 0.2
    expected = np.abs(np.log(smooth[0] + 1e-6) - np.log(smooth[1] + 1e-6))[fine].mean()
    assert float(losses.spectral_loss(hr, sr)) == pytest.approx(expected, rel=1e-3)
    assert float(losses.spectral_loss(hr, hr)) == 0
    assert float(losses.spectral_loss(hr, hr[::-1])) == pytest.approx(0, abs=1e-5)  # which face does not matter


def test_feature_distance_is_zero_for_equal_images_and_grows_with_blur():
    features = vgg.features(["block1_conv2", "block2_conv2"])
    hr = data.to_float(photos.portraits())
    bicubic = data.upscale(data.degrade(hr))
    half = (hr + bicubic) / 2
    none, some, more = (np.mean(losses.feature_distances(features, hr, x)) for x in (hr, half, bicubic))
    assert none == 0 and 0 < some < more
