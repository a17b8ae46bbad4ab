"""The evaluation of the ladder: interpolation, cost, tables; and the attributes that split its test images."""

import dataclasses
import json
import os
import pathlib
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from srlib import data, metrics, models, pretrained, runtime

SHIPPED = pretrained.FOLDER


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of three untrained networks, two of one architecture."""
    folder = tmp_path_factory.mktemp("weights")
    rng = np.random.default_rng(0)
    for name, start in (("facesr-light", None), ("facesr-light-gan", "facesr-light"), ("srcnn", None)):
        model = models.GENERATORS[name]()
        arrays = [w + rng.normal(0, 0.01, w.shape) for w in model.get_weights()]
        entry = {"parameters": model.count_params(), "recipe": {"start": start} if start else {}, "hours": 0.25, "images_seen": 400, "val_psnr": 20.0}
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


def fake_features(images):  # instead of VGG, which is slow
    return [np.asarray(images)]


fake_features.source, fake_features.output_names = "none", [metrics.FRECHET_TAP]


@pytest.fixture(scope="module")
def results(weights):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "FOLDER", weights)
        return pretrained.scores(data.portraits(), fake_features)


@pytest.fixture
def rows(results):
    return pretrained.ladder(data.portraits(), fake_features, results)


def test_ladder_holds_every_method_with_its_intervals(rows):
    assert [row["method"] for row in rows] == [*data.KERNELS, "srcnn", "facesr-light", "facesr-light-gan"]
    for row in rows:
        assert row["n"] == 2 and row["features"] == "none"
        for key in (*pretrained.METRICS, "psnr_gain"):
            assert row[f"{key}_low"] <= row[key] <= row[f"{key}_high"]


def test_ladder_agrees_with_the_metrics(rows):
    lr, hr = data.pairs(data.portraits())
    table = {row["method"]: row for row in rows}
    expected = metrics.psnr(hr, data.upscale(lr, "lanczos"))
    assert table["lanczos"]["psnr"] == pytest.approx(expected.mean())
    assert table["lanczos"]["psnr_gain"] == pytest.approx((expected - metrics.psnr(hr, data.upscale(lr))).mean())
    assert table["bicubic"]["psnr_gain"] == 0 and table["bicubic"]["parameters"] == 0


def synthetic(count=60, channels=4):
    """Scores of three methods: `close` is bicubic plus noise around zero, `better` is a little better on each image."""
    rng = np.random.default_rng(0)
    hr, bicubic = rng.normal(size=(count, channels)), rng.normal(26, 2, count)
    shifts = {"bicubic": 0, "nearest": rng.normal(0, 0.3, count) - 0.02, "lanczos": 0.1 + rng.normal(0, 0.05, count)}
    pooled = {"bicubic": hr + 1, "nearest": hr[::-1], "lanczos": hr}
    return {name: {"psnr": bicubic + shift, "pooled_hr": hr, "pooled_sr": pooled[name]} for name, shift in shifts.items()}


def test_differences_that_are_not_significant_are_marked(capsys):
    rows = pretrained.ladder(np.zeros((60, 128, 128, 3), "uint8"), None, synthetic())
    ties = {row["method"]: row["psnr_ties"] for row in rows}
    assert ties == {"bicubic": "nearest", "nearest": "bicubic", "lanczos": ""}
    assert rows[0]["psnr_high"] > rows[2]["psnr_low"]  # their own intervals overlap: only pairing tells them apart
    pretrained.print_table(rows)
    lines = capsys.readouterr().out.splitlines()
    marked = {line.split()[0] for line in lines if "~" in line}
    assert marked == {"bicubic", "nearest", "~"} and "RGB dB: bicubic = nearest" in lines[-2]


def test_frechet_distance_is_measured_against_other_faces():
    table = {row["method"]: row for row in pretrained.ladder(np.zeros((60, 128, 128, 3), "uint8"), None, synthetic())}
    floor = table["lanczos"]["frechet_floor"]
    assert floor > 0 and table["lanczos"]["frechet"] == pytest.approx(floor)  # a perfect method stands on the floor
    assert table["bicubic"]["frechet"] == pytest.approx(floor + 4, rel=0.1)  # shifted by 1 in each of 4 channels
    assert pretrained.frechet_of_halves(np.zeros((3, 4)), np.zeros((3, 4))) == ("", "")


def test_scores_do_not_depend_on_the_batches(monkeypatch):
    pixels, upscalers = data.portraits(), {"srcnn": pretrained.methods()["srcnn"]}
    together = pretrained.scores(pixels, None, upscalers)
    monkeypatch.setattr(pretrained, "BATCH", 1)
    apart = pretrained.scores(pixels, None, upscalers)
    np.testing.assert_allclose(apart["srcnn"]["psnr"], together["srcnn"]["psnr"], atol=1e-3)


def test_features_of_an_unchanged_batch_are_computed_once():
    calls = []

    def features(images):
        calls.append(images.shape)
        return images.sum()

    features.output_names = ["block1_conv1"]
    remembering = pretrained._remembering(features)
    reference, first, second = (np.full((1, 2, 2, 3), value, "float32") for value in (0.1, 0.2, 0.3))
    for result in (first, second):
        assert remembering(reference) == reference.sum() and remembering(result) == result.sum()
    assert len(calls) == 3 and remembering.output_names == ["block1_conv1"]


def test_table_comes_back_as_numbers(rows, tmp_path):
    pretrained._write_table(tmp_path / "ladder.csv", rows)
    again = pretrained.read_table("ladder", tmp_path)
    assert [row["method"] for row in again] == [row["method"] for row in rows]
    assert again[2]["psnr"] == pytest.approx(rows[2]["psnr"], rel=1e-5)
    assert pretrained.stale(again) == []


def test_missing_table_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m srlib.pretrained"):
        pretrained.read_table("ladder", tmp_path)


@pytest.fixture
def faces_folder(tmp_path):
    """Thirty photos, the last three of which are for testing."""
    for index, pixels in enumerate(np.random.default_rng(1).integers(0, 256, (30, 8, 8, 3), "uint8")):
        Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC).save(tmp_path / f"{index:02d}.png")
    return tmp_path


def run_command(monkeypatch, folder, *arguments):
    from srlib import losses

    folder.mkdir()
    monkeypatch.setattr(losses, "vgg_features", lambda: fake_features)
    monkeypatch.setattr(pretrained, "BATCH", 2)  # faces behind a time: here only that there is one
    pretrained.main([*arguments, "--folder", str(folder)])
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


def test_the_same_command_twice_writes_the_same_tables(faces_folder, tmp_path, monkeypatch, capsys):
    first, second = (run_command(monkeypatch, tmp_path / name, "--data", str(faces_folder), "--count", "2") for name in "ab")
    assert set(first) == {"ladder", "faces", "portraits", "times"}
    for name in ("ladder", "faces", "portraits"):
        assert first[name] == second[name] and b"ms_per_face" not in first[name]
    ladder, faces, times = (pretrained.read_table(name, tmp_path / "a") for name in ("ladder", "faces", "times"))
    assert len(ladder) == 7 and ladder[0]["n"] == len(faces) == 2
    assert set(faces[0]) == {"brightness", "contrast", *(row["method"] for row in ladder)}
    mean = np.mean([face["bicubic"] for face in faces])
    assert mean == pytest.approx(next(row["psnr"] for row in ladder if row["method"] == "bicubic"), abs=0.01)
    assert [row["method"] for row in times] == [row["method"] for row in ladder]
    assert all(row["ms_per_face"] > 0 and row["cores"] >= 1 for row in times)
    assert "lanczos" in capsys.readouterr().out


def test_the_sample_does_not_overwrite_the_ladder(tmp_path, monkeypatch):
    assert set(run_command(monkeypatch, tmp_path / "a", "--data", "sample")) == {"portraits", "times"}
    assert set(run_command(monkeypatch, tmp_path / "b", "--times")) == {"times"}


# --- a table that no longer fits -------------------------------------------------------------------


def test_seed_spread_appears_where_a_network_was_trained_more_than_once(weights, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(weights, tmp_path / "again")
    index = json.loads((folder / "index.json").read_text())
    index["srcnn"] |= {"val_psnr": 26.0}
    (folder / "index.json").write_text(json.dumps(index))
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    for val_psnr in (26.2, 26.4, 26.4):  # a finished training that is shipped again is no third one
        pretrained.save_repeat("srcnn", val_psnr)
    assert pretrained.cost("srcnn")["trainings"] == 3 and pretrained.cost("srcnn")["seed_sd"] == pytest.approx(0.2)
    assert pretrained.cost("facesr-light")["trainings"] == 1 and pretrained.cost("facesr-light")["seed_sd"] == ""
    results = {name: {"psnr": np.arange(3.0)} for name in ("bicubic", "srcnn")}
    pretrained.print_table(pretrained.ladder(np.zeros((3, 128, 128, 3), "uint8"), None, results))
    assert "standard deviation over trainings: srcnn 0.200 dB" in capsys.readouterr().out


def test_a_table_of_other_weights_is_stale(rows, weights, tmp_path, monkeypatch):
    pretrained._write_table(tmp_path / "ladder.csv", rows)
    table = pretrained.read_table("ladder", tmp_path)
    folder = shutil.copytree(weights, tmp_path / "again")
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    entry = pretrained.info("srcnn")
    pretrained.save("srcnn", pretrained.load_arrays("srcnn"), entry | {"hours": 0.5}, {"step": [1]}, folder)
    assert pretrained.stale(table) == ["srcnn: hours is 0.25 in the table, 0.5 now"]
    changed = [array + 0.1 for array in pretrained.load_arrays("srcnn")]
    del entry["file"], entry["sha256"]
    pretrained.save("srcnn", changed, entry, {"step": [1]}, folder)
    (reason,) = pretrained.stale(table)
    assert reason.startswith("srcnn: sha256")
    assert pretrained.stale(table[:-1])[0] == "facesr-light-gan is shipped and not in the table"
    assert "edsr is in the table and not shipped" in pretrained.stale([*table, {"method": "edsr"}])


# --- the committed tables --------------------------------------------------------------------------


@pytest.fixture
def shipped(monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", SHIPPED)


@pytest.mark.parametrize("name", ["ladder", "portraits"])
def test_the_committed_table_belongs_to_the_shipped_weights(shipped, name):
    assert pretrained.stale(pretrained.read_table(name)) == []


def test_the_committed_times_name_the_shipped_networks(shipped):
    assert [row["method"] for row in pretrained.read_table("times")] == list(data.KERNELS) + pretrained.names()


def test_the_committed_portraits_are_what_the_networks_give_today(shipped):
    from srlib import losses

    table = pretrained.read_table("portraits")
    try:
        features = losses.vgg_features()
    except FileNotFoundError:
        features = None
    if features and features.source != table[0]["features"]:
        features = None
    fresh = pretrained.ladder(data.portraits(), features)
    for old, new in zip(table, fresh):
        for key in set(new) - {"features"}:  # another TensorFlow differs in the last digits only
            if isinstance(new[key], str):
                assert old[key] == pretrained._number(new[key]), (new["method"], key)
            else:
                assert old[key] == pytest.approx(new[key], abs=0.002, rel=1e-4), (new["method"], key)


def test_the_committed_ladder_follows_from_its_faces(shipped):
    table, faces = pretrained.read_table("ladder"), pretrained.read_table("faces")
    assert {row["n"] for row in table} == {len(faces)}
    for row in table:
        column = np.array([face[row["method"]] for face in faces])
        gain = column - [face["bicubic"] for face in faces]
        assert row["psnr"] == pytest.approx(column.mean(), abs=0.002), row["method"]
        np.testing.assert_allclose([row["psnr_low"], row["psnr_high"]], metrics.bootstrap_interval(column), atol=0.005)
        np.testing.assert_allclose([row["psnr_gain"], row["psnr_gain_low"]], [gain.mean(), metrics.bootstrap_interval(gain)[0]], atol=0.005)


@pytest.mark.skipif("SRLIB_CELEBA" not in os.environ, reason="SRLIB_CELEBA names no folder of CelebA images")
def test_the_committed_faces_are_what_the_networks_give_today(shipped):
    few = 20
    limits = dataclasses.replace(runtime.PROFILES["full"], train_images=1, held_out_images=few)
    pixels = data.load(os.environ["SRLIB_CELEBA"], limits).test
    fresh = pretrained._faces(pixels, pretrained.scores(pixels))
    for old, new in zip(pretrained.read_table("faces"), fresh[:few], strict=False):
        assert old == pytest.approx(new, abs=0.011)  # two decimals, of which the last may tip over


@pytest.mark.parametrize("path", ["README.md", "srlib/weights/MODEL_CARD.md"])
def test_the_table_in_the_text_is_the_committed_one(path):
    text = (pathlib.Path(__file__).parent.parent / path).read_text()
    assert pretrained.markdown_table(pretrained.read_table("ladder", SHIPPED)) in text


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
