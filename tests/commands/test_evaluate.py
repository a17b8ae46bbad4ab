"""The benchmark: its rows, ties, infinite scores and cost; the tables as files; the committed tables."""

import dataclasses
import json
import os
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from srlib import commands, data, datasets, metrics, models, photos, pretrained, runtime, vgg
from srlib.commands import evaluate

SHIPPED = pretrained.FOLDER, models.GENERATORS
SCORES = ("psnr", "ssim", "psnr_y", "ssim_y", "lr_consistency", "feature_distance")
FACE = ["brightness", "contrast", "sharpness"]
SPECTRA = np.ones((3, 128, 128))  # spectra of three batches
ENTRY = {"parameters": 1, "hours": 0.25, "images_seen": 400, "val_psnr": 26.0, "machine": "a PC"}


class Features:
    """Instead of VGG, which is slow: an image is its own feature map. Counts its calls."""

    source, output_names, calls = "none", [metrics.FRECHET_TAP], 0

    def __call__(self, images):
        self.calls += 1
        return [np.asarray(images)]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A package with three small untrained networks, one of which started from another."""
    folder = tmp_path_factory.mktemp("weights")
    networks = dict.fromkeys(("facesr-light", "facesr-light-gan"), lambda: models.facesr(1, 8, ())) | {
        "edsr": lambda: models.edsr(1, 8)
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "FOLDER", folder)
        patch.setattr(models, "GENERATORS", networks)
        for name, build in networks.items():
            recipe = {"start": "facesr-light", "discriminator": "patch"} if name == "facesr-light-gan" else {}
            arrays = [weight + 0.01 for weight in build().get_weights()]
            pretrained.save(name, arrays, ENTRY | {"recipe": recipe}, {"step": [1], "pixel": [0.5]}, folder)
        yield folder


@pytest.fixture(scope="module")
def measured(shipped):
    """Features, what `scores` returned, and the rows."""
    features = Features()
    results = evaluate.scores(photos.portraits(), features)
    return features, results, evaluate.benchmark(photos.portraits(), features, results)


def test_the_benchmark_holds_every_method_with_its_intervals(measured):
    rows = {row["method"]: row for row in measured[-1]}
    assert list(rows) == [*data.KERNELS, "facesr-light", "facesr-light-gan", "edsr"]
    for row in rows.values():
        assert (row["n"], row["infinite"], row["features"]) == (2, 0, "none")
        for key in (*SCORES, "psnr_gain"):
            assert row[f"{key}_low"] <= row[key] <= row[f"{key}_high"]
    lr, hr = data.pairs(photos.portraits())
    lanczos, bicubic = (data.upscale(lr, kernel) for kernel in ("lanczos", "bicubic"))
    assert rows["lanczos"]["psnr"] == pytest.approx(metrics.psnr(hr, lanczos).mean())
    assert rows["lanczos"]["psnr_gain"] == pytest.approx((metrics.psnr(hr, lanczos) - metrics.psnr(hr, bicubic)).mean())
    assert rows["bicubic"]["psnr_gain"] == 0 and rows["bicubic"]["parameters"] == 0


def test_features_are_those_of_the_metrics_and_computed_once_an_image(measured):
    features, results, _ = measured
    assert features.calls == 1 + len(results)  # the originals, and what each method made of them
    lr, hr = data.pairs(photos.portraits())
    sr = data.upscale(lr)
    for key, expected in (
        ("feature_distance", metrics.feature_distance(hr, sr, Features())),
        ("pooled_hr", Features()(hr)[0].mean(axis=(1, 2))),
        ("pooled_sr", Features()(data.quantise(sr))[0].mean(axis=(1, 2))),
    ):
        np.testing.assert_allclose(results["bicubic"][key], expected, rtol=1e-5)


def test_scores_do_not_depend_on_the_batches(measured, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "BATCH", 1)
    apart = evaluate.scores(np.repeat(photos.portraits(), 50, axis=0), None, {"bicubic": data.upscale})["bicubic"]
    np.testing.assert_allclose(apart["psnr"][[0, 99]], measured[1]["bicubic"]["psnr"], atol=1e-3)
    assert capsys.readouterr().out == "100 of 100 faces\n"


@pytest.fixture(scope="module")
def synthetic():
    """Rows of three methods: `nearest` is bicubic plus noise around zero, `lanczos` a little better on each image."""
    rng = np.random.default_rng(0)
    hr, bicubic = rng.normal(size=(60, 4)), rng.normal(26, 2, 60)
    shifts = {"bicubic": 0, "nearest": rng.normal(0, 0.3, 60) - 0.02, "lanczos": 0.1 + rng.normal(0, 0.05, 60)}
    pooled = {"bicubic": hr + 1, "nearest": hr[::-1], "lanczos": hr}
    results = {
        name: {"psnr": bicubic + shift, "pooled_hr": hr, "pooled_sr": pooled[name], "weave": shift + np.ones(60)}
        | {"power_hr": SPECTRA, "power_sr": 2 * SPECTRA if name == "nearest" else SPECTRA}
        for name, shift in shifts.items()
    }
    results["bicubic"] |= {"identity": np.where(np.arange(60) < 5, np.nan, 0.4)}  # five faces were not found
    results["nearest"] |= {"identity": np.where(np.arange(60) < 5, np.nan, 0.5)}
    results["lanczos"] |= {"identity": np.where(np.arange(60) < 5, np.nan, rng.normal(0.4, 0.01, 60))}
    return evaluate.benchmark(np.zeros((60, 128, 128, 3), "uint8"), None, results)


def test_differences_that_are_not_significant_are_marked(synthetic):
    assert [row["psnr_ties"] for row in synthetic] == ["nearest", "bicubic", ""]
    assert synthetic[0]["psnr_high"] > synthetic[2]["psnr_low"]  # overlapping intervals: only pairing tells them apart
    assert [row["identity_ties"] for row in synthetic] == ["lanczos", "", "bicubic"]
    marked = [[cell.strip()[-1:] == "~" for cell in line.split("|")] for line in table(synthetic).splitlines()[2:]]
    assert [sum(line) for line in marked] == [2, 1, 1]


def table(rows):
    return evaluate.markdown_table(rows)


def test_faces_that_no_judge_found_are_left_out_of_its_mean_alone(synthetic):
    bicubic, nearest, _ = synthetic
    assert (bicubic["identity"], nearest["identity"], bicubic["n"]) == (pytest.approx(0.4), pytest.approx(0.5), 60)
    assert nearest["identity_low"] == pytest.approx(0.5) and nearest["weave"] == 2 and nearest["fine_power"] == 2
    assert bicubic["weave"] == 1 and bicubic["weave_face"] == pytest.approx(1)


def test_frechet_distance_is_measured_against_other_faces(synthetic):
    bicubic, _, lanczos = synthetic
    assert lanczos["frechet"] == pytest.approx(lanczos["frechet_floor"])  # a perfect method stands on the floor
    assert bicubic["frechet"] == pytest.approx(lanczos["frechet"] + 4, rel=0.1)  # shifted by 1 in each of 4 channels
    assert lanczos["frechet"] > 0
    assert bicubic["frechet_low"] < bicubic["frechet"] < bicubic["frechet_high"] < bicubic["frechet"] + 6
    for few in (np.zeros((3, 4)), None):
        assert set(evaluate.frechet_of_halves(few, few).values()) == {""}


def test_infinite_scores_are_counted_apart(tmp_path):
    pixels = np.concatenate([np.full((2, 128, 128, 3), 90, "uint8"), photos.portraits()])  # two come back exactly
    upscalers = {kernel: lambda lr, kernel=kernel: data.upscale(lr, kernel) for kernel in ("bicubic", "lanczos")}
    upscalers["nearest"] = lambda lr: 0.99 * data.upscale(lr)  # here one that brings nothing back
    results = evaluate.scores(pixels, None, upscalers)
    scores = {name: results[name]["psnr"][2:] for name in results}
    assert np.isfinite(list(scores.values())).all() and np.isinf(results["bicubic"]["psnr"]).sum() == 2
    bicubic, lanczos, nearest = rows = evaluate.benchmark(pixels, None, results)
    assert [row["infinite"] for row in rows] == [2, 2, 0]
    expected = scores["lanczos"].mean(), *metrics.bootstrap_interval(scores["lanczos"])
    assert (lanczos["psnr"], lanczos["psnr_low"], lanczos["psnr_high"]) == expected
    gains = {name: scores[name] - scores["bicubic"] for name in scores}
    assert lanczos["psnr_gain"] == pytest.approx(gains["lanczos"].sum() / 4)  # both infinite: no difference
    assert nearest["psnr_gain"] == pytest.approx(gains["nearest"].mean())  # one infinite: no pair
    evaluate.write_tables(tmp_path, {"faces": evaluate.faces(pixels, results)})
    assert [face["bicubic"] for face in pretrained.read_table("faces", tmp_path)][:2] == [np.inf, np.inf]
    few = {name: {key: values[:1] for key, values in columns.items()} for name, columns in results.items()}
    bicubic, lanczos, nearest = evaluate.benchmark(pixels[:1], None, few)
    assert bicubic["psnr"] == np.inf and np.isnan(bicubic["psnr_low"]) and np.isfinite(nearest["psnr"])
    assert bicubic["psnr_ties"] == "lanczos nearest"  # nobody knows


def test_the_cost_includes_the_network_that_training_started_from(shipped):
    keys = "hours_pixel", "hours_game", "images_pixel", "images_game", "machine"
    assert [evaluate.cost("facesr-light-gan")[key] for key in keys] == [0.25, 0.25, 400, 400, "a PC"]
    assert [evaluate.cost("edsr")[key] for key in keys] == [0.25, 0, 400, 0, "a PC"]


def test_a_table_comes_back_as_numbers_and_is_stale_beside_other_weights(measured, shipped, tmp_path, monkeypatch):
    evaluate.write_tables(tmp_path, {"benchmark": measured[-1]})
    table = pretrained.read_table("benchmark", tmp_path)
    assert [row["psnr"] for row in table] == pytest.approx([row["psnr"] for row in measured[-1]], rel=1e-5)
    assert evaluate.stale(table) == []
    index = json.loads((shipped / "index.json").read_text())
    del index["facesr-light-gan"]
    index["edsr"] |= {"hours": 0.5, "sha256": "other"}
    (tmp_path / "index.json").write_text(json.dumps(index))
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    reasons = evaluate.stale([*table[1:], {"method": "dcgan"}])
    assert [reason.split(" is ")[0] for reason in reasons] == [
        *("dcgan", "facesr-light-gan", "nearest"),
        *("edsr: hours_pixel", "edsr: sha256"),
    ]
    assert reasons[3] == "edsr: hours_pixel is 0.25 in the table, 0.5 now"


# --- the command -----------------------------------------------------------------------------------


@pytest.fixture
def command(shipped, tmp_path, monkeypatch):
    """Run `srlib evaluate` with two methods and no VGG; returns the tables in the folder as text."""
    monkeypatch.setattr(vgg, "features", Features)
    methods = {"bicubic": data.upscale, "nearest": lambda lr: data.upscale(lr, "nearest")}
    monkeypatch.setattr(evaluate, "methods", lambda networks: methods)

    def run(folder, *arguments):
        commands.run("evaluate", [*map(str, arguments), "--folder", str(tmp_path / folder)])
        return {path.stem: path.read_text() for path in (tmp_path / folder).iterdir()}

    return run


@pytest.mark.slow
def test_the_same_command_twice_writes_the_same_tables(command, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for index, pixels in enumerate(np.random.default_rng(1).integers(0, 256, (30, 8, 8, 3), "uint8")):
        Image.fromarray(pixels).resize((128, 128)).save(tmp_path / "photos" / f"{index:02d}.png")
    first, second = (command(name, "--data", tmp_path / "photos", "--count", 2) for name in "ab")
    assert first == second and set(first) == {"benchmark", "faces"}
    benchmark, faces = (pretrained.read_table(name, tmp_path / "a") for name in ("benchmark", "faces"))
    assert benchmark[0]["n"] == len(faces) == 2 and list(faces[0]) == [*FACE, "bicubic", "nearest"]
    assert np.mean([face["bicubic"] for face in faces]) == pytest.approx(benchmark[0]["psnr"], abs=0.01)
    assert "2 test images, 2 methods" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--count is 0; expected at least 1"):
        command("a", "--count", 0)


def test_without_a_folder_the_table_is_only_printed(command, capsys):
    commands.run("evaluate", ["--data", "sample"])
    assert "2 test images, 2 methods" in (said := capsys.readouterr().out) and "nearest|-1.82" in said


# --- the committed tables --------------------------------------------------------------------------


@pytest.fixture
def committed(monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", SHIPPED[0])
    monkeypatch.setattr(models, "GENERATORS", SHIPPED[1])
    return pretrained.read_table


@pytest.mark.slow
def test_the_committed_table_belongs_to_the_shipped_weights(committed):
    assert evaluate.stale(committed("benchmark")) == []


@pytest.mark.slow
def test_the_networks_give_today_what_they_gave(committed):
    """portraits.csv is the table that `srlib evaluate --data sample --folder FOLDER` wrote with the shipped weights."""
    rows = pretrained.read_rows(pathlib.Path(__file__).parents[1] / "portraits.csv")
    assert evaluate.stale(rows) == []
    table = {row["method"]: row for row in rows}
    features = vgg.features()
    same = features.source == table["bicubic"]["features"]
    for name, scores in evaluate.scores(photos.portraits(), features if same else None).items():
        for key in SCORES if same else SCORES[:-1]:  # another TensorFlow differs in the last digits only
            assert table[name][key] == pytest.approx(scores[key].mean(), abs=0.002, rel=1e-4), (name, key)


def test_the_committed_benchmark_follows_from_its_faces(committed):
    table, faces = committed("benchmark"), committed("faces")
    assert {row["n"] for row in table} == {len(faces)}
    bicubic = np.array([face["bicubic"] for face in faces])
    for row in table:
        column = np.array([face[row["method"]] for face in faces])
        assert row["psnr"] == pytest.approx(column.mean(), abs=0.002), row["method"]
        assert row["psnr_gain"] == pytest.approx((column - bicubic).mean(), abs=0.002), row["method"]
        np.testing.assert_allclose([row["psnr_low"], row["psnr_high"]], metrics.bootstrap_interval(column), atol=0.005)


@pytest.mark.slow
@pytest.mark.skipif("SRLIB_CELEBA" not in os.environ, reason="SRLIB_CELEBA names no folder of CelebA images")
def test_the_committed_faces_are_what_the_networks_give_today(committed):
    limits = dataclasses.replace(runtime.PROFILES["full"], train_images=1, held_out_images=5)
    pixels = datasets.load(os.environ["SRLIB_CELEBA"], limits).test
    for old, new in zip(committed("faces"), evaluate.faces(pixels, evaluate.scores(pixels)), strict=False):
        assert old == pytest.approx(new, abs=0.011)  # two decimals, of which the last may tip over


def test_the_tables_in_the_texts_are_the_committed_one(committed):
    root, rows = pathlib.Path(__file__).parents[2], {row["method"]: row for row in committed("benchmark")}
    assert evaluate.markdown_table(committed("benchmark")) in (root / "srlib/weights/MODEL_CARD.md").read_text()
    pattern = r"^\| `?([\w-]+)`?[^|]*\| ([^|]+?) \| ([^|]*?) ?\| (\.\d+) \|$"
    shown = re.findall(pattern, (root / "README.md").read_text(), re.M)
    assert [name for name, *_ in shown] == ["bicubic", "dcgan-published", "facesr", "facesr-gan"]
    for name, psnr, gain, distance in shown:
        row = rows[name]
        assert psnr == f"{row['psnr']:.2f} dB ({row['psnr_low']:.2f} to {row['psnr_high']:.2f})"
        assert gain == ("" if name == "bicubic" else f"{row['psnr_gain']:+.2f}")
        assert distance == f"{row['feature_distance']:.3f}".lstrip("0")
