"""The evaluation of the ladder: interpolation, cost, tables; and the attributes that split its test images."""

import dataclasses

import keras
import numpy as np
import pytest
from PIL import Image

from srlib import data, metrics, models, pretrained, runtime


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of three untrained networks, two of one architecture."""
    folder = tmp_path_factory.mktemp("weights")
    rng = np.random.default_rng(0)
    for name, start in (("facesr-light", None), ("facesr-light-gan", "facesr-light"), ("srcnn", None)):
        model = models.GENERATORS[name]()
        arrays = [w + rng.normal(0, 0.01, w.shape) for w in model.get_weights()]
        entry = {"parameters": model.count_params(), "recipe": {"start": start} if start else {}, "hours": 0.25, "images_seen": 400}
        pretrained.save(name, arrays, entry, {"step": [1], "pixel": [0.5]}, folder)
    return folder


@pytest.fixture(autouse=True)
def own_weights(weights, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", weights)


# --- network interpolation -------------------------------------------------------------------------


def test_interpolation_ends_at_its_networks_and_mixes_weights_between():
    first, second = (pretrained.load_arrays(name) for name in ("facesr-light", "facesr-light-gan"))
    for alpha in (0, 0.25, 1):
        mixed = pretrained.interpolate("facesr-light", "facesr-light-gan", alpha).get_weights()
        for a, b, m in zip(first, second, mixed):
            np.testing.assert_allclose(m, (1 - alpha) * a + alpha * b, atol=1e-6)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, np.nan])
def test_interpolation_refuses_extrapolation(alpha):
    with pytest.raises(ValueError, match="alpha"):
        pretrained.interpolate("facesr-light", "facesr-light-gan", alpha)


def test_interpolation_refuses_other_architectures_and_names():
    with pytest.raises(ValueError, match="differ in architecture"):
        pretrained.interpolate("facesr-light", "srcnn", 0.5)
    with pytest.raises(ValueError, match="unknown model"):
        pretrained.interpolate("facesr-light", "nobody", 0.5)


# --- cost ------------------------------------------------------------------------------------------


def test_gflops_by_hand():
    inputs = keras.Input((None, None, 3))
    x = models.conv(8, 3, strides=2)(inputs)  # 16x16 positions of 3*3*3*8
    x = keras.layers.Conv2DTranspose(4, 4, strides=2, padding="same")(x)  # 16x16 positions of 4*4*8*4
    model = keras.Model(inputs, models.conv(3, 1)(x))  # 32x32 positions of 4*3
    expected = 2 * (256 * 216 + 256 * 512 + 1024 * 12) / 1e9
    assert models.gflops(model) == pytest.approx(expected)
    assert models.gflops(model, size=64) == pytest.approx(4 * expected)


def test_gflops_of_srresnet():
    # 16 blocks of two 3x3 convolutions of 64 channels at 32x32, and one more; a 9x9 head and a 9x9 tail at
    # 128x128; two convolutions to 256 channels, at 32x32 and at 64x64
    macs = 1024 * (33 * 9 * 64 * 64 + 81 * 3 * 64 + 9 * 64 * 256) + 4096 * 9 * 64 * 256 + 16384 * 81 * 64 * 3
    assert models.gflops(models.srresnet()) == pytest.approx(2 * macs / 1e9, rel=1e-6)


def test_cost_includes_the_network_that_training_started_from():
    assert pretrained.total_cost("facesr-light") == (0.25, 400)
    assert pretrained.total_cost("facesr-light-gan") == (0.5, 800)


# --- the table -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(weights):
    patch = pytest.MonkeyPatch()
    patch.setattr(pretrained, "FOLDER", weights)
    yield pretrained.ladder(data.sample(runtime.PROFILES["smoke"]))
    patch.undo()


def test_ladder_holds_every_method_with_its_intervals(rows):
    assert [row["method"] for row in rows] == [*data.KERNELS, "srcnn", "facesr-light", "facesr-light-gan"]
    for row in rows:
        assert row["n"] == 2 and row["ms_per_face"] > 0
        for key in ("psnr", "ssim", "psnr_y", "ssim_y", "lr_consistency", "psnr_gain"):
            assert row[f"{key}_low"] <= row[key] <= row[f"{key}_high"]


def test_ladder_agrees_with_the_metrics(rows):
    lr, hr = data.pairs(data.portraits())
    table = {row["method"]: row for row in rows}
    expected = metrics.psnr(hr, data.upscale(lr, "lanczos"))
    assert table["lanczos"]["psnr"] == pytest.approx(expected.mean())
    assert table["lanczos"]["psnr_gain"] == pytest.approx((expected - metrics.psnr(hr, data.upscale(lr))).mean())
    assert table["bicubic"]["psnr_gain"] == 0 and table["bicubic"]["parameters"] == 0


def test_scores_do_not_depend_on_the_batches(monkeypatch):
    pixels = data.portraits()
    together = pretrained.scores(pixels)
    monkeypatch.setattr(pretrained, "BATCH", 1)
    for name, values in pretrained.scores(pixels).items():
        np.testing.assert_allclose(values["psnr"], together[name]["psnr"], atol=1e-3)


def test_features_of_an_unchanged_batch_are_computed_once():
    calls = []
    remembering = pretrained._remembering(lambda images: calls.append(images.shape) or images.sum())
    reference, first, second = (np.full((1, 2, 2, 3), value, "float32") for value in (0.1, 0.2, 0.3))
    for result in (first, second):
        assert remembering(reference) == reference.sum() and remembering(result) == result.sum()
    assert len(calls) == 3


def test_table_comes_back_as_numbers(rows, tmp_path):
    pretrained._write_table(tmp_path / "ladder.csv", rows)
    again = pretrained.read_table("ladder", tmp_path)
    assert [row["method"] for row in again] == [row["method"] for row in rows]
    assert again[2]["psnr"] == pytest.approx(rows[2]["psnr"], rel=1e-5)


def test_missing_table_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m srlib.pretrained"):
        pretrained.read_table("ladder", tmp_path)


def test_command_writes_both_tables(tmp_path, monkeypatch, capsys):
    from srlib import losses

    def features(images):  # instead of VGG, which is slow
        return [images]

    features.source = "none"
    monkeypatch.setattr(losses, "vgg_features", lambda: features)
    pretrained.main(["--data", "sample", "--folder", str(tmp_path)])
    ladder, faces = (pretrained.read_table(name, tmp_path) for name in ("ladder", "faces"))
    assert len(ladder) == 7 and len(faces) == 2 and "feature_distance_low" in ladder[0]
    assert set(faces[0]) == {"brightness", "contrast", *(row["method"] for row in ladder)}
    mean = np.mean([face["bicubic"] for face in faces])
    assert mean == pytest.approx(next(row["psnr"] for row in ladder if row["method"] == "bicubic"), abs=0.01)
    assert "lanczos" in capsys.readouterr().out


# --- attributes ------------------------------------------------------------------------------------


@pytest.fixture
def celeba(tmp_path):
    """A folder in CelebA's layout: 10 images, the last 3 of them for testing."""
    images = tmp_path / "img_align_celeba" / "img_align_celeba"
    images.mkdir(parents=True)
    names = [f"{index:06d}.jpg" for index in range(1, 11)]
    for index, name in enumerate(names):
        Image.fromarray(np.full((218, 178, 3), 20 * index, "uint8")).save(images / name)
    parts = [0] * 5 + [1] * 2 + [2] * 3
    lines = ["image_id,partition"] + [f"{name},{part}" for name, part in zip(names, parts)]
    (tmp_path / "list_eval_partition.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


LABELS = {"000008.jpg": (1, -1), "000009.jpg": (-1, -1), "000010.jpg": (1, 1)}


def labelled(separator):
    rows = {f"{index:06d}.jpg": (-1, -1) for index in range(1, 8)} | LABELS
    return [separator.join([name, *map(str, values)]) for name, values in rows.items()]


@pytest.mark.parametrize("style", ["kaggle", "authors"])
def test_attributes_follow_the_test_images(celeba, style):
    if style == "kaggle":
        text = "\n".join(["image_id,Eyeglasses,Smiling", *labelled(",")])
        (celeba / "list_attr_celeba.csv").write_text(text)
    else:
        text = "\n".join(["10", "Eyeglasses Smiling ", *labelled("  ")])
        (celeba / "list_attr_celeba.txt").write_text(text)
    profile = runtime.PROFILES["full"]
    found = data.attributes(celeba, profile)
    assert list(found) == ["Eyeglasses", "Smiling"]
    np.testing.assert_array_equal(found["Eyeglasses"], [True, False, True])
    np.testing.assert_array_equal(found["Smiling"], [False, False, True])
    assert len(data.load(celeba, profile).test) == 3
    fewer = data.attributes(celeba, dataclasses.replace(profile, held_out_images=2))
    np.testing.assert_array_equal(fewer["Eyeglasses"], [True, False])


def test_no_attributes_without_their_file(celeba):
    assert data.attributes(celeba, runtime.PROFILES["full"]) == {}
    assert data.attributes("sample") == {}


def test_attributes_that_miss_an_image_name_it(celeba):
    text = "\n".join(["image_id,Eyeglasses,Smiling", *labelled(",")[:-1]])
    (celeba / "list_attr_celeba.csv").write_text(text)
    with pytest.raises(ValueError, match="000010.jpg"):
        data.attributes(celeba, runtime.PROFILES["full"])
