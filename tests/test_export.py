"""Every format against Keras on real photos, in every precision and image size; and a run without TensorFlow."""

import importlib
import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from srlib import data, export, models, pretrained, runtime

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = {"onnx": ("tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}  # what the tests of a format need
LR = data.degrade(data.to_float(data.portraits()))


def need(format):
    """Skip, with the reason, where the optional packages of a format are missing."""
    for package in PACKAGES.get(format.split("-")[0], ()):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install -e '.[export]'")


@pytest.fixture(scope="module")
def light():
    return pretrained.load("facesr-light")


@pytest.fixture(scope="module")
def files(light, tmp_path_factory):
    """facesr-light in every format that can be written here, made when first asked for."""
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def path(format):
        need(format)
        if format not in made:
            made[format] = export.save(light, folder / ("light" + export.FORMATS[format]), format)
        return made[format]

    return path


@pytest.mark.parametrize("format", ["savedmodel", "onnx", "litert"])
def test_a_float32_file_gives_keras_numbers(files, light, format):
    row = export.check(light, files(format), repeats=1)
    assert row["max_difference"] < 1e-5
    if format != "savedmodel":  # another engine: equal to the last bit would mean that Keras itself was measured
        assert row["max_difference"] > 0
    assert abs(row["psnr_change"]) < 1e-4
    assert row["psnr"] > 25 and row["ms"] > 0 and row["ms_keras"] > 0


def test_fewer_bits_cost_little_and_save_much(files, light):
    rows = {format: export.check(light, files(format), repeats=1) for format in ("litert", "litert-float16", "litert-int8")}
    whole, half, eighth = (rows[format]["megabytes"] for format in rows)
    assert half < 0.6 * whole and eighth < 0.35 * whole
    assert 1e-6 < rows["litert-float16"]["max_difference"] < 0.5 / 255  # not visible in 8 bits
    assert 0.5 / 255 < rows["litert-int8"]["max_difference"] < 0.1
    assert abs(rows["litert-float16"]["psnr_change"]) < 0.001
    assert -0.1 < rows["litert-int8"]["psnr_change"] < 0


def test_most_of_the_8_bit_error_is_the_rounded_skip(files, light):
    """A fixed pattern of 4x4 pixels, as the sums of the bicubic filters predict it when their weights are rounded."""
    lr = data.degrade(export.photos())
    error = export.open_exported(files("litert-int8"))(lr) - light(lr).numpy()
    pattern = error.reshape(8, 32, 4, 32, 4, 3).mean(axis=(0, 1, 3, 5))
    kernel = next(layer for layer in light.layers if isinstance(layer, models.BicubicUpsampling)).kernel
    step = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    sums = (np.rint(kernel / step) * step).sum(axis=(0, 1, 2)).reshape(4, 4, 3)[..., 0]
    assert np.corrcoef(pattern.ravel(), sums.ravel())[0, 1] > 0.95
    assert (pattern**2).mean() / (error**2).mean() > 0.5


@pytest.mark.parametrize("format", export.FORMATS)
def test_every_file_takes_any_size_and_count(files, light, format):
    run = export.open_exported(files(format))
    for count, height, width in ((1, 32, 32), (3, 8, 40), (2, 21, 13)):
        lr = np.resize(LR, (count, height, width, 3))
        sr = run(lr)
        assert sr.shape == (count, 4 * height, 4 * width, 3) and sr.dtype == np.float32
        assert sr.min() >= 0 and sr.max() <= 1
        assert np.abs(sr - light(lr).numpy()).max() < (0.1 if "int8" in format else 0.001)


@pytest.mark.parametrize("format", ["onnx", "litert"])
@pytest.mark.parametrize("build", [models.srcnn, lambda: models.srresnet(1, 8), lambda: models.edsr(1, 8), models.dcgan_generator])
def test_every_kind_of_layer_survives(tmp_path, format, build):
    """The fused BatchNormalization, PReLU, pixel shuffle, transposed convolution; with weights that are not the first ones."""
    need(format)
    with runtime.precision("float32"):
        model = build()
    rng = np.random.default_rng(0)
    model.set_weights([weight * rng.uniform(0.9, 1.1, weight.shape) + 0.001 for weight in model.get_weights()])
    path = export.save(model, tmp_path / ("model" + export.FORMATS[format]), format)
    assert np.abs(export.open_exported(path)(LR) - model(LR).numpy()).max() < 1e-4


def test_a_network_in_half_precision_is_exported_in_float32(tmp_path):
    need("onnx")
    import onnx

    with runtime.precision("mixed_bfloat16"):
        model = models.srresnet(1, 8)
    assert any(layer.compute_dtype == "bfloat16" for layer in model.layers)
    twin = export.float32_twin(model)
    assert {layer.compute_dtype for layer in twin.layers} == {"float32"}
    for ours, theirs in zip(twin.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    path = export.save(model, tmp_path / "model.onnx", "onnx")
    kinds = {tensor.data_type for tensor in onnx.load(path).graph.initializer}
    assert onnx.TensorProto.FLOAT in kinds and not kinds & {onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT16}
    sr = export.open_exported(path)(LR)
    assert np.abs(sr - twin(LR).numpy()).max() < 1e-4
    assert np.abs(sr - model(LR).numpy()).max() > 1e-4  # bfloat16's own rounding, which the file is free of


def run_without_tensorflow(script, folder):
    """Run a script in a new interpreter in which importing TensorFlow or Keras is an error."""
    guard = (
        "import sys\n"
        "class Forbidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('tensorflow', 'keras'): raise AssertionError(name + ' was imported')\n"
        "sys.meta_path.insert(0, Forbidden())\n"
    )
    after = "\nassert not {'tensorflow', 'keras'} & set(sys.modules)\nprint('ran without TensorFlow')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", guard + script + after], cwd=folder, env=environment, capture_output=True, text=True)
    assert run.stdout.endswith("ran without TensorFlow\n"), run.stderr[-2000:]


@pytest.mark.parametrize("format, package", [("onnx", "onnxruntime"), ("litert", "ai_edge_litert")])
def test_the_readmes_examples_run_without_tensorflow_and_without_srlib(files, light, tmp_path, format, package):
    """Taken from the README by the package they import; the picture that they write equals Keras' to one level."""
    from PIL import Image

    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (script,) = [block for block in blocks if package in block]
    assert "srlib" not in script
    (tmp_path / f"facesr-light{export.FORMATS[format]}").write_bytes(files(format).read_bytes())
    small = data.to_uint8(LR[0, :, :24])
    Image.fromarray(small).save(tmp_path / "small.png")
    run_without_tensorflow(script, tmp_path)
    large = np.asarray(Image.open(tmp_path / "large.png"))
    expected = data.to_uint8(light(data.to_float(small)[None]).numpy()[0])
    assert large.shape == (128, 96, 3) and np.abs(large.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_our_own_runner_needs_no_tensorflow_either(files, tmp_path, format):
    script = (
        "import numpy as np; from srlib import data, export\n"
        f"sr = export.open_exported({str(files(format))!r})(data.degrade(data.to_float(data.portraits())))\n"
        "assert sr.shape == (2, 128, 128, 3)\n"
    )
    run_without_tensorflow(script, tmp_path)


def test_bad_arguments_say_what_is_wanted(light, tmp_path):
    with pytest.raises(ValueError, match="format is 'torch'; it must be one of savedmodel, onnx"):
        export.save(light, tmp_path / "model", "torch")
    with pytest.raises(ValueError, match="'model.pb'; in format 'onnx' it must end in .onnx"):
        export.save(light, tmp_path / "model.pb", "onnx")
    with pytest.raises(ValueError, match="neither"):
        export.save(light, tmp_path / "model.onnx", "savedmodel")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(FileExistsError, match="remove it"):
        export.save(light, tmp_path / "model.onnx", "onnx")
    with pytest.raises(FileNotFoundError, match="no exported model"):
        export.open_exported(tmp_path / "nowhere.onnx")
    with pytest.raises(ValueError, match="no SavedModel"):
        export.open_exported(tmp_path)


@pytest.mark.parametrize("module, path", [("tf2onnx", "new.onnx"), ("onnxruntime", "old.onnx"), ("ai_edge_litert", "old.tflite")])
def test_a_missing_package_says_what_to_install(light, tmp_path, monkeypatch, module, path):
    tf = runtime.load_tensorflow()
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(runtime, "load_tensorflow", lambda: importlib.import_module("no_such_tensorflow") if path == "old.tflite" else tf)
    (tmp_path / "old.onnx").touch()
    (tmp_path / "old.tflite").touch()
    with pytest.raises(ImportError, match=r'pip install "srlib\[export\]"'):
        if path.startswith("new"):
            export.save(light, tmp_path / path, "onnx")
        else:
            export.open_exported(tmp_path / path)


@pytest.mark.parametrize("format", ["litert", "litert-int8"])
def test_without_litert_tensorflows_older_copy_runs_the_file(files, monkeypatch, format):
    """Also when the size of the input changes, for which the copy in TensorFlow 2.19 needs a new interpreter."""
    path, inputs = files(format), (LR[:1, :8, :8], LR, LR[:, :21, :13])
    expected = [export.open_exported(path)(lr) for lr in inputs]
    for name in [name for name in sys.modules if name.split(".")[0] == "ai_edge_litert"]:
        monkeypatch.setitem(sys.modules, name, None)
    if not hasattr(runtime.load_tensorflow().lite, "Interpreter"):
        pytest.skip("this TensorFlow has no copy of LiteRT's interpreter any more")
    assert export._litert_interpreter(path).__module__.startswith("tensorflow")
    run = export.open_exported(path)
    for lr, sr in zip(inputs, expected, strict=True):
        np.testing.assert_allclose(run(lr), sr, atol=1e-6 if format == "litert" else 0.05)


def test_the_command_writes_and_reports(tmp_path, capsys):
    export.main(["facesr-light", "--format", "savedmodel", "--folder", str(tmp_path)])
    header, line = capsys.readouterr().out.splitlines()
    assert line.split()[0] == "savedmodel" and float(line.split()[2]) < 1e-5
    assert export.open_exported(tmp_path / "facesr-light-savedmodel")(LR).shape == (2, 128, 128, 3)
    with pytest.raises(SystemExit, match="exists already"):
        export.main(["facesr-light", "--format", "savedmodel", "--folder", str(tmp_path)])


def test_one_missing_package_leaves_the_other_formats(tmp_path, capsys, monkeypatch):
    need("litert")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(SystemExit, match=r"^onnx was left out: .*srlib\[export\]"):
        export.main(["facesr-light", "--folder", str(tmp_path)])
    written = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert written == [format for format in export.FORMATS if format != "onnx"]
    assert all(export.size(tmp_path / ("facesr-light" + export.FORMATS[format])) > 1e5 for format in written)
