"""Resampling against Pillow, the degradation, and batches as a function of seed and step."""

import numpy as np
import pytest
from PIL import Image

from srlib import data, photos


@pytest.fixture
def rng():
    return np.random.default_rng(0)


PILLOW = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}


@pytest.mark.parametrize(
    "kernel, size", [(kernel, (160, 128)) for kernel in PILLOW] + [(kernel, (24, 32)) for kernel in list(PILLOW)[1:]]
)
def test_resizing_equals_pillow(rng, kernel, size):
    """Enlarged; and shrunk, antialiased (Pillow's nearest is not)."""
    image = rng.random((96, 120, 3), dtype="float32")
    theirs = [np.asarray(Image.fromarray(image[..., c]).resize(size, PILLOW[kernel])) for c in range(3)]
    np.testing.assert_allclose(data.resize(image, size[::-1], kernel), np.stack(theirs, -1), atol=1e-5)


def test_antialias_matters(rng):
    image = rng.random((128, 128, 3), dtype="float32")
    with_it, without = data.resize(image, (32, 32)), data.resize(image, (32, 32), antialias=False)
    assert np.abs(with_it - without).max() > 0.2


def test_degrade_is_antialiased_bicubic_on_the_8_bit_grid():
    hr = data.to_float(photos.portraits())
    lr = data.degrade(hr)
    assert lr.shape == (2, 32, 32, 3) and lr.dtype == np.float32
    np.testing.assert_array_equal(lr, data.to_float(data.to_uint8(lr)))
    exact = data.resize(hr, (32, 32), "bicubic", antialias=True)
    assert np.abs(lr - np.clip(exact, 0, 1)).max() <= 0.5 / 255 + 1e-6


def test_one_image_and_a_batch_degrade_alike():
    hr = data.to_float(photos.portraits())
    np.testing.assert_array_equal(data.degrade(hr)[1], data.degrade(hr[1]))


@pytest.mark.parametrize(
    "bad, words",
    [
        (np.zeros((8, 8, 3), "uint8"), "to_float"),
        (np.zeros((8, 8, 3)) + 200.0, "divide by 255"),
        (np.zeros((8, 8, 3)) - 0.5, "(x + 1) / 2"),
        (np.full((8, 8, 3), np.nan), "expected [0, 1]"),
        (np.zeros((8, 8, 4)), "expected RGB"),
        (np.zeros((8, 8)), "expected RGB"),
        (np.zeros((0, 8, 8, 3)), "no pixels"),
        (np.zeros((10, 8, 3)), "multiples of 4"),
    ],
)
def test_degrade_refuses_bad_input_and_says_what_to_do(bad, words):
    with pytest.raises(ValueError) as error:
        data.degrade(bad)
    assert words in str(error.value)


def test_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="bicubic"):
        data.resize(np.zeros((8, 8, 3)), (4, 4), "sinc")


def test_an_epoch_visits_every_image_once():
    pixels = np.arange(12, dtype="uint8")[:, None, None, None] * np.ones((1, 8, 8, 3), "uint8")
    seen = [int(round(hr[0, 0, 0] * 255)) for step in range(3) for hr in data.batch_at(pixels, step, 4, patch=8)[1]]
    assert sorted(seen) == list(range(12)) and seen != list(range(12))


def test_batches_are_a_function_of_seed_and_step():
    pixels = photos.portraits()
    whole = list(data.batches(pixels, 2, 5, seed=3, patch=32))
    resumed = list(data.batches(pixels, 2, 5, seed=3, start=3, patch=32))
    assert len(whole) == 5 and len(resumed) == 2
    for (a, b), (c, d) in zip(whole[3:], resumed):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    other = next(iter(data.batches(pixels, 2, 5, seed=4, patch=32)))
    assert not np.array_equal(whole[0][1], other[1])


def test_a_batch_is_a_pair_of_the_one_degradation():
    lr, hr = data.batch_at(photos.portraits(), 0, 2, patch=64)
    assert lr.shape == (2, 16, 16, 3) and hr.shape == (2, 64, 64, 3)
    np.testing.assert_array_equal(lr, data.degrade(hr))


def test_crops_come_from_every_pixel_and_not_only_from_every_fourth():
    y, x = np.mgrid[:128, :128].astype(np.uint8)
    ruler = np.stack([y, x, x], -1)[None]  # every pixel states its own place
    corners = np.concatenate(
        [data.batch_at(ruler, step, 8, flip=False, patch=120)[1][:, 0, 0, :2] for step in range(20)]
    )
    assert set(np.rint(corners * 255).astype(int).ravel()) == set(range(9))


@pytest.mark.parametrize(
    "width, arguments",
    [(160, {"batch": 2}), (128, {"batch": 0}), (128, {"batch": 2, "patch": 30}), (128, {"batch": 2, "patch": 256})],
)
def test_bad_batch_arguments_are_refused(width, arguments):
    with pytest.raises(ValueError, match="expected square images" if width > 128 else "expected batch >= 1 and patch"):
        data.batches(np.zeros((4, 128, width, 3), "uint8"), steps=1, **arguments)
