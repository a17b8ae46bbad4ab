"""A generator in use: batches, tiles, photos of any size, precision, memory and progress; and that speed.py runs."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import speed
from PIL import Image

from srlib import data, inference, metrics, models, photos, pretrained

LR, HR = data.pairs(np.concatenate([photos.portraits(), photos.portraits()[:, :, ::-1]]))
PHOTO = np.ascontiguousarray(photos.portraits()[1][:41, :60])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lr: lr * 2 - 1, r"\(x \+ 1\) / 2"),
        (lambda lr: lr * 255, "divide by 255"),
        (data.to_uint8, "to_float"),
        (lambda lr: lr[0], r"lr\[None\]"),
        (lambda lr: lr[:, :4], ">= 8"),
    ],
)
def test_predict_refuses_other_ranges_and_shapes(change, words):
    with pytest.raises(ValueError, match=words):
        inference.predict(models.facesr(1, 4, ()), change(LR))


@pytest.mark.slow
@pytest.mark.parametrize("name", pretrained.names())
def test_bfloat16_has_float32s_numbers(name):
    networks = [pretrained.load(name, policy) for policy in ("float32", "mixed_bfloat16")]
    exact, half = (metrics.psnr(HR, inference.predict(network, LR)) for network in networks)
    assert np.any(half != exact), "nothing ran in bfloat16"
    np.testing.assert_allclose(half, exact, atol=0.02)


# --- tiles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [lambda: models.facesr(2, 8), models.srcnn, lambda: models.srresnet(1, 8), models.GENERATORS["facesr-light"]],
)
def test_no_pixel_beyond_the_receptive_radius_matters(build):
    model, rng = build(), np.random.default_rng(0)  # random weights: the last layer starts at zero, and would be dumb
    model.set_weights([w + rng.normal(0, 0.05, w.shape).astype("float32") for w in model.get_weights()])
    unclipped = keras.Model(model.inputs[0], model.get_layer("image").input)
    far, middle = inference.receptive_radius(model), inference.receptive_radius(model) + 4
    images = np.repeat(rng.random((1, 2 * middle + 1, 2 * middle + 1, 3), dtype="float32"), 2, axis=0)
    images[1, middle, middle] += 0.3
    rows = np.flatnonzero(np.ptp(unclipped(images), axis=0).max(axis=(1, 2)) > 0) // 4 - middle
    assert -far <= rows.min() and far - 3 <= rows.max() <= far  # nothing beyond, and the bound is not too generous


def test_a_layer_that_sees_everything_has_no_radius():
    inputs = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="GlobalAveragePooling2D"):
        inference.receptive_radius(keras.Model(inputs, keras.layers.GlobalAveragePooling2D(keepdims=True)(inputs)))


def test_tiles_equal_the_whole():
    model, image = pretrained.load("facesr-light"), data.to_float(photos.portraits()[0][:93, :101])
    whole = inference.predict(model, image[None])[0]
    tiled = np.full_like(whole, np.nan)
    for y, x, sr in inference.predict_tiles(model, image, side=40):
        tiled[4 * y : 4 * y + sr.shape[0], 4 * x : 4 * x + sr.shape[1]] = sr
    np.testing.assert_allclose(tiled, whole, atol=2e-6)


# --- photos ----------------------------------------------------------------------------------------


def test_enlarge_takes_an_array_or_a_file_whole_or_in_tiles(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "small.png")
    whole, tiled = inference.enlarge(PHOTO), inference.enlarge(tmp_path / "small.png", tile=16)
    assert whole.shape == (164, 240, 3) and whole.dtype == np.uint8 and np.abs(whole.astype(int) - tiled).max() <= 1


@pytest.mark.parametrize(
    ("photo", "options", "words"),
    [
        (PHOTO[:7], {}, ">= 8"),
        (PHOTO / 255, {}, "to_uint8"),
        (PHOTO[..., 0], {}, "uint8"),
        (np.zeros((4_001, 4_000, 3), "uint8"), {}, "4000x4001 pixels; the limit is 16,000,000"),
        (PHOTO, {"name": "facesr2"}, "'facesr2'.*facesr-gan"),
    ],
)
def test_enlarge_refuses_what_it_cannot_do(photo, options, words):
    with pytest.raises(ValueError, match=words):
        inference.enlarge(photo, **options)


def test_enlarge_builds_a_network_once_and_anew_when_its_file_changes(tmp_path):
    """An album of photos would fill the memory with networks, and one's own training writes the same file again."""
    before = inference.network.cache_info().misses
    for blocks in (1, 2):
        models.facesr(blocks, 4, ()).save(tmp_path / "ema.keras")
        np.testing.assert_array_equal(inference.enlarge(PHOTO, tmp_path), inference.enlarge(PHOTO, tmp_path))
    assert inference.network.cache_info().misses == before + 2
    names = [tmp_path / f"{number}.keras" for number in range(4)]
    for name in [*names, *names]:  # a comparison: every photo by each
        if not name.exists():
            models.facesr(1, 4, ()).save(name)
        inference.enlarge(PHOTO, name)
    assert inference.network.cache_info().misses == before + 6


def test_enlarge_says_how_far_it_is(capsys):
    def said(**options):
        inference.enlarge(PHOTO, "facesr-light", **options)
        return capsys.readouterr().out

    assert said(tile=16, verbose=False) == said() == ""
    lines = said(tile=16).splitlines()
    assert [line.split()[1] for line in lines] == [f"{n}/12" for n in (2, 4, 6, 8, 10, 12)] and "left" in lines[0]


MEMORY = """
import numpy as np
from PIL import Image
from srlib import inference, photos
photo = np.asarray(Image.fromarray(photos.portraits()[1]).resize((1000, 750), Image.Resampling.BICUBIC))
inference.enlarge(photo[:300, :300], "facesr-light", tile=100, verbose=0)  # 3x3 tiles: the middle one is the largest
def peak():
    # `getrusage` would begin at the peak of the parent
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024 / 1e6
peaks = [peak()]
for tile in (100, 1000):
    inference.enlarge(photo, "facesr-light", tile=tile, verbose=0)
    peaks.append(peak())
print(*np.diff(peaks))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="this system does not tell")
def test_memory_does_not_grow_with_the_photo():
    tiled, whole = map(float, subprocess.check_output([sys.executable, "-c", MEMORY], text=True).split())
    assert tiled < 48 * 1000 * 750 / 1e6 + 40, "more than the result: tiles are kept"
    assert whole > 150, "the photo in one piece needs no more memory: this test measures nothing"


@pytest.mark.slow
def test_speed_prints_a_row_for_each_precision(capsys, monkeypatch):
    monkeypatch.setattr(speed, "REPEATS", 1)
    speed.main(["facesr-light"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert rows and all(float(number) > 0 for row in rows for number in row[2:])
