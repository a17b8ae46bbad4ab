"""The shipped ladder: safe to load, small, and better than bicubic where it claims to be."""

import shutil

import numpy as np
import pytest

from srlib import data, metrics, models, pretrained


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the weights that a test may damage."""
    folder = tmp_path / "weights"
    shutil.copytree(pretrained.FOLDER, folder)
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    return folder


@pytest.mark.parametrize("name", pretrained.names())
def test_every_network_loads_and_takes_any_size(name):
    model = pretrained.load(name)
    for height, width in ((8, 8), (13, 10)):
        image = np.asarray(model(np.full((2, height, width, 3), 0.5, "float32")))
        assert image.shape == (2, 4 * height, 4 * width, 3) and image.dtype == np.float32
        assert 0 <= image.min() and image.max() <= 1


@pytest.mark.parametrize("name", pretrained.names())
def test_every_network_has_its_facts_and_its_history(name):
    facts = pretrained.info(name)
    for key in ("parameters", "recipe", "data", "images_seen", "hours", "machine", "val_psnr", "val_psnr_bicubic"):
        assert key in facts
    assert facts["parameters"] == pretrained.load(name).count_params()
    log = pretrained.history(name)
    assert log["step"][-1] == facts["recipe"]["steps"] and len(log["pixel"]) == len(log["step"])


@pytest.mark.parametrize("name", [name for name in pretrained.names() if name.startswith("facesr")])
def test_ours_beat_bicubic_on_portraits_they_never_saw(name):
    lr, hr = data.pairs(data.portraits())
    ours, bicubic = metrics.psnr(hr, pretrained.load(name)(lr)), metrics.psnr(hr, data.upscale(lr))
    assert np.all(ours > bicubic + 0.5)


def test_the_ladder_is_small_and_ordered():
    assert sum(path.stat().st_size for path in pretrained.FOLDER.iterdir()) < 30_000_000
    order = list(models.GENERATORS)
    assert pretrained.names() == sorted(pretrained.names(), key=order.index) and "facesr" in pretrained.names()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="'facesr2'.*facesr"):
        pretrained.load("facesr2")


def test_damaged_weights_are_refused_by_name(copy):
    content = bytearray((copy / "facesr.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "facesr.npz").write_bytes(content)
    with pytest.raises(ValueError, match="facesr.npz are damaged"):
        pretrained.load("facesr")


def test_missing_weights_are_named(copy):
    (copy / "facesr.npz").unlink()
    with pytest.raises(FileNotFoundError, match="facesr.npz"):
        pretrained.load("facesr")


def test_what_is_saved_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    model = models.GENERATORS["srcnn"]()
    log = {"step": list(range(1, 131)), "pixel": [0.5] * 130, "val_psnr": [None] * 129 + [20.0]}
    snapshots = {step: np.random.default_rng(step).integers(0, 256, (2, 128, 128, 3), "uint8") for step in (5, 100)}
    pretrained.save("srcnn", model.get_weights(), {"parameters": 1}, log, tmp_path, snapshots)
    again = pretrained.load("srcnn")
    for a, b in zip(model.get_weights(), again.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-3)
    assert pretrained.history("srcnn") == {"step": [50.0, 100.0, 130.0], "pixel": [0.5] * 3, "val_psnr": [None, None, 20.0]}
    assert list(pretrained.snapshots("srcnn")) == [5, 100]
    for step, pictures in pretrained.snapshots("srcnn").items():
        np.testing.assert_array_equal(pictures, snapshots[step])
    pretrained.save("dcgan", model.get_weights(), {"parameters": 1}, log, tmp_path)
    with pytest.raises(ValueError, match="no snapshots of 'dcgan'"):
        pretrained.snapshots("dcgan")
