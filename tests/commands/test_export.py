"""Every format against Keras on real photos, in odd folders and sizes; what goes wrong is said, and leaves nothing."""

import contextlib
import importlib.util
import io
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from PIL import Image

from srlib import data, models, photos, runtime
from srlib.commands import export

ROOT = pathlib.Path(__file__).parents[2]
LR = data.pairs(photos.portraits())[0]
PACKAGES = "tf2onnx", "onnxruntime", "ai_edge_litert"
pytestmark = pytest.mark.skipif(
    None in map(importlib.util.find_spec, PACKAGES), reason="pip install tf2onnx onnxruntime ai-edge-litert"
)


def shaken(model):
    """The model with weights that are not the first ones, so that none of its layers does nothing."""
    rng = np.random.default_rng(0)
    model.set_weights([weight * rng.uniform(0.9, 1.1, weight.shape) + 0.001 for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def light():
    return shaken(models.facesr(blocks=1, filters=32, tail=()))


@pytest.fixture(scope="module")
def exported(light, tmp_path_factory):
    """What `srlib export` writes and prints for a training of one's own: the folder of the files, and the lines."""
    home, printed = tmp_path_factory.mktemp("home"), io.StringIO()
    (home / "Mein Netz").mkdir()
    light.save(home / "Mein Netz" / "ema.keras")
    with contextlib.chdir(home), contextlib.redirect_stdout(printed):
        export.main(["Mein Netz", "--folder", "My Drive/Übung 1"])
    return home / "My Drive" / "Übung 1", printed.getvalue().splitlines()


@pytest.fixture(scope="module")
def engines(exported):
    return {format: export.open_exported(exported[0] / f"Mein Netz{end}") for format, end in export.FORMATS.items()}


def test_the_command_writes_every_format_and_compares_it_with_keras(exported):
    folder, (_, *lines) = exported
    assert {path.name for path in folder.iterdir()} == {f"Mein Netz{ending}" for ending in export.FORMATS.values()}
    assert [line.split()[0] for line in lines] == list(export.FORMATS)
    rows = {line.split()[0]: np.array(line.split()[1:7], float) for line in lines}
    megabytes, differences, psnr, changes, *times = np.array(list(rows.values())).T
    assert max(differences) < 1e-5 and max(abs(changes)) < 1e-4
    assert min(differences[1:]) > 0  # other engines: equal to the last bit would mean that Keras itself was measured
    assert min(psnr) > 20 and min(megabytes) > 0 and np.min(times) > 0


def test_the_command_names_each_format_that_it_cannot_write(exported):
    file = exported[0] / "Mein Netz.onnx"
    content = file.read_bytes()
    for network, folder, reason in (
        ("Mein Netz", file.parent, "exists already; remove it"),
        ("Mein Netz/ema.keras", file, "cannot make the folder"),
    ):
        with pytest.raises(ValueError) as caught:
            export.main([str(file.parents[2] / network), "--folder", str(folder)])
        lines = str(caught.value).splitlines()
        assert [line.split(":")[0] for line in lines] == list(export.FORMATS) and all(reason in line for line in lines)
    assert file.read_bytes() == content


@pytest.mark.parametrize("format", export.FORMATS)
def test_every_file_takes_any_size_and_count_and_nothing_but_images(engines, light, format):
    for shape in ((1, 32, 32, 3), (3, 8, 40, 3), (2, 21, 13, 3)):
        lr = np.resize(LR, shape)
        sr = engines[format](lr)
        assert sr.shape == (shape[0], 4 * shape[1], 4 * shape[2], 3) and sr.dtype == np.float32
        assert sr.min() >= 0 and sr.max() <= 1
        assert np.abs(sr - light(lr).numpy()).max() < 1e-5
    np.testing.assert_array_equal(engines[format](LR.astype("float64")), engines[format](LR))
    for wrong in (255 * LR, data.to_uint8(LR), LR[0], LR[:, :7], LR[..., :1], LR[:0], LR * np.nan):
        with pytest.raises(ValueError, match="expected|no pixels"):
            engines[format](wrong)


@pytest.fixture(scope="module")
def mixed():
    """A small network with every kind of layer that ours have, in bfloat16."""
    with runtime.precision("mixed_bfloat16"):
        inputs = keras.Input((None, None, 3))  # without a name
        x = models.srresnet_block(models.dcgan_unit(models.conv(8)(inputs), 8), 8)
        x = keras.layers.UpSampling2D(2)(models.PixelShuffle(2)(models.conv(32, activation="relu")(x)))
        x = keras.layers.Rescaling(0.1)(keras.layers.Activation("tanh")(models.conv(3, 9)(x)))
        skip = models.BicubicUpsampling(dtype="float32")(inputs)
        model = models.as_generator("mixed", inputs, keras.layers.Add(dtype="float32")([skip, x]))
    return shaken(model)


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_every_kind_of_layer_survives_and_computes_in_float32(mixed, tmp_path, format):
    assert any(layer.compute_dtype == "bfloat16" for layer in mixed.layers)
    path = export.save(mixed, tmp_path / f"mixed{export.FORMATS[format]}")
    sr = export.open_exported(path)(LR)
    assert np.abs(sr - models.recast(mixed, "float32")(LR).numpy()).max() < 1e-4
    assert np.abs(sr - mixed(LR).numpy()).max() > 1e-4  # bfloat16's own rounding, which the file is free of


def test_an_onnx_file_opens_in_older_runtimes(exported):
    """Those of ONNX Runtime 1.17 know version 9 of the format and opset 20."""
    import onnx

    model = onnx.load(exported[0] / "Mein Netz.onnx")
    assert model.ir_version <= 9 and max(opset.version for opset in model.opset_import if not opset.domain) <= 20
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.FLOAT in kinds and not kinds & {onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize("package, ending", [("onnxruntime", ".onnx"), ("ai_edge_litert", ".tflite")])
def test_the_example_runs_without_tensorflow_and_without_srlib(exported, light, tmp_path, package, ending):
    """Taken from the module's text by the package it imports; the picture that it writes equals Keras' to one level."""
    blocks = re.findall(r"\n\n((?:    .*\n|\n)+)", export.__doc__)
    (script,) = [textwrap.dedent(block) for block in blocks if package in block]
    (tmp_path / f"facesr-light{ending}").write_bytes((exported[0] / f"Mein Netz{ending}").read_bytes())
    small = data.to_uint8(LR[0, :, :24])
    Image.fromarray(small).save(tmp_path / "small.png")
    script += "\nimport sys; print({'tensorflow', 'srlib'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr[-2000:]
    large, expected = np.asarray(Image.open(tmp_path / "large.png")), light(data.to_float(small)[None]).numpy()[0]
    assert large.shape == (128, 96, 3) and np.abs(large.astype(int) - data.to_uint8(expected)).max() <= 1


def test_the_usual_code_for_phones_runs_the_file(exported, light):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(exported[0] / "Mein Netz.tflite"))
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    for lr in (LR, LR[:1, :, :20]):
        interpreter.resize_tensor_input(given["index"], lr.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], lr)
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(result["index"]), light(lr).numpy(), atol=1e-5)


def test_bad_arguments_say_what_is_wanted(mixed, tmp_path):
    for name in ("model", "model.pb", "onnx"):
        with pytest.raises(ValueError, match=f"'{name}'; choose one of NAME-savedmodel .*, NAME.onnx "):
            export.save(mixed, tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no exported model"):
        export.open_exported(tmp_path / "nowhere.onnx")
    with pytest.raises(ValueError, match="no SavedModel"):
        export.open_exported(tmp_path)


@pytest.mark.parametrize("format", export.FORMATS)
def test_a_full_disk_or_an_interruption_leaves_nothing(light, tmp_path, monkeypatch, format):
    resource = pytest.importorskip("resource")
    path = tmp_path / f"model{export.FORMATS[format]}"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # no file may grow beyond a page
    try:
        with pytest.raises(OSError, match=f"cannot write .*{path.name} .*File too large"):
            export.save(light, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    monkeypatch.setattr(runtime, "patiently", lambda rename: os.kill(os.getpid(), 2))  # Ctrl-C when all is written
    with pytest.raises(KeyboardInterrupt):
        export.save(light, path)
    assert list(tmp_path.iterdir()) == []


def hide(monkeypatch, *packages):
    for name in [*packages, *(name for name in sys.modules if name.split(".")[0] in packages)]:
        monkeypatch.setitem(sys.modules, name, None)


def test_a_missing_package_says_what_to_install(exported, mixed, tmp_path, monkeypatch):
    hide(monkeypatch, *PACKAGES)
    with pytest.raises(ImportError, match="pip install tf2onnx onnxruntime"):
        export.save(mixed, tmp_path / "new.onnx")
    with pytest.raises(ImportError, match="pip install onnxruntime"):
        export.open_exported(exported[0] / "Mein Netz.onnx")
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        export.open_exported(exported[0] / "Mein Netz.tflite")
