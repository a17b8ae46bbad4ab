"""The shipped networks: safe to load, small, better than bicubic where they claim to be; your own; mixtures; tables."""

import shutil

import numpy as np
import pytest

from srlib import data, metrics, models, photos, pretrained


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


def test_a_training_of_yours_is_known_by_its_folder_or_file(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "ema.keras").touch()
    (tmp_path / "entry.json").write_text('{"hours": 1}')
    assert pretrained.info("~") == pretrained.info(tmp_path / "ema.keras") == {"hours": 1}
    with pytest.raises(ValueError, match="unknown network 'nobody'"):
        pretrained.info("nobody")


@pytest.mark.parametrize("name", [name for name in pretrained.names() if name.startswith("facesr")])
def test_ours_beat_bicubic_on_portraits_they_never_saw(name):
    lr, hr = data.pairs(photos.portraits())
    ours, bicubic = metrics.psnr(hr, pretrained.load(name)(lr)), metrics.psnr(hr, data.upscale(lr))
    assert np.all(ours > bicubic + 0.5)


def test_the_shipped_networks_are_small_and_ordered():
    assert sum(path.stat().st_size for path in pretrained.FOLDER.iterdir()) < 30_000_000
    order = list(models.GENERATORS)
    assert pretrained.names() == sorted(pretrained.names(), key=order.index) and "facesr" in pretrained.names()


def test_damaged_weights_are_refused_by_name(copy):
    content = bytearray((copy / "facesr.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "facesr.npz").write_bytes(content)
    with pytest.raises(ValueError, match="facesr.npz is damaged"):
        pretrained.load("facesr")


def test_missing_weights_are_named(copy):
    (copy / "facesr.npz").unlink()
    with pytest.raises(ValueError, match="no file .*facesr.npz.*install srlib again"):
        pretrained.load("facesr")


def test_what_is_saved_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    model = models.GENERATORS["srcnn"]()
    log = {"step": list(range(1, 131)), "pixel": list(range(130)), "val_psnr": [None] * 129 + [20.0]}
    snapshots = {step: np.random.default_rng(step).integers(0, 256, (2, 128, 128, 3), "uint8") for step in (5, 100)}
    pretrained.save("srcnn", model.get_weights(), {"parameters": 1}, log, tmp_path, snapshots)
    again = pretrained.load("srcnn")
    for a, b in zip(model.get_weights(), again.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-3)
    assert pretrained.history("srcnn") == {
        "step": [50.0, 100.0, 130.0],
        "pixel": [24.5, 74.5, 114.5],
        "val_psnr": [None, None, 20.0],
    }
    assert list(pretrained.snapshots("srcnn")) == [5, 100]
    for step, pictures in pretrained.snapshots("srcnn").items():
        np.testing.assert_array_equal(pictures, snapshots[step])
    pretrained.save("dcgan", model.get_weights(), {"parameters": 1}, log, tmp_path)
    with pytest.raises(FileNotFoundError, match="dcgan.snapshots"):
        pretrained.snapshots("dcgan")


def test_your_own_network_is_a_file_or_the_folder_of_its_training(tmp_path):
    lr, model = data.pairs(photos.portraits())[0], models.facesr(1, 8, ())
    model.save(tmp_path / "ema.keras")
    for name in (tmp_path, str(tmp_path / "ema.keras")):
        np.testing.assert_array_equal(pretrained.load(name)(lr), model(lr))
        assert pretrained.digest(name) == pretrained.digest(tmp_path)
    (tmp_path / "ema.keras").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="ema.keras is damaged"):
        pretrained.load(tmp_path)
    (tmp_path / "ema.keras").unlink()
    with pytest.raises(ValueError, match="no file .*ema.keras. .* from its first checkpoint on"):
        pretrained.load(tmp_path)


def test_interpolation_mixes_the_weights_of_one_architecture():
    first, second = (pretrained.load(name).get_weights() for name in ("facesr-light", "facesr-light-gan"))
    for alpha in (0, 0.25, 1):
        mixed = pretrained.interpolate("facesr-light", "facesr-light-gan", alpha).get_weights()
        for a, b, m in zip(first, second, mixed, strict=True):
            np.testing.assert_allclose(m, (1 - alpha) * a + alpha * b, atol=1e-6)
    with pytest.raises(ValueError, match="differ in architecture"):
        pretrained.interpolate("facesr-light", "srcnn", 0.5)
