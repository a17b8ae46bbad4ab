"""Every format against Keras on real photos, in odd folders and sizes; what goes wrong is said, and leaves nothing."""

import contextlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
from unittest import mock

import keras
import numpy as np
import pytest
from PIL import Image

from srlib import commands, data, models, photos, runtime
from srlib.commands import export

ROOT = pathlib.Path(__file__).parents[2]
LR = data.pairs(photos.portraits())[0]
onnxruntime, interpreter, _ = map(pytest.importorskip, ("onnxruntime", "ai_edge_litert.interpreter", "tf2onnx"))
tf = runtime.load_tensorflow()


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
        commands.run("export", ["Mein Netz", *(f"My Drive/Übung 1/Mein Netz{ending}" for ending in export.FORMATS)])
    return home / "My Drive" / "Übung 1", printed.getvalue().splitlines()


def opened(path):
    """A function lr -> sr that runs an exported file by its own engine."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda lr: session.run(None, {session.get_inputs()[0].name: lr})[0]
    if path.suffix == ".tflite":
        run = interpreter.Interpreter(str(path)).get_signature_runner()
        return lambda lr: run(**dict.fromkeys(run.get_input_details(), lr))["output_0"]
    loaded = tf.saved_model.load(str(path))
    return lambda lr: loaded.serve(lr).numpy()


@pytest.fixture(scope="module")
def engines(exported):
    return {ending: opened(exported[0] / f"Mein Netz{ending}") for ending in export.FORMATS}


def test_the_command_writes_every_format(exported):
    folder, lines = exported
    assert {path.name for path in folder.iterdir()} == {f"Mein Netz{ending}" for ending in export.FORMATS}
    assert lines == [f"written: My Drive/Übung 1/Mein Netz{ending}" for ending in export.FORMATS]


def test_nothing_is_overwritten(exported, light):
    file = exported[0] / "Mein Netz.onnx"
    content = file.read_bytes()
    with pytest.raises(FileExistsError, match="exists already; remove it"):
        export.save(light, file)
    assert file.read_bytes() == content


@pytest.mark.parametrize("format", export.FORMATS)
def test_every_file_takes_any_size_and_count_and_nothing_but_images(engines, light, format):
    for shape in ((1, 32, 32, 3), (3, 8, 40, 3), (2, 21, 13, 3)):
        lr = np.resize(LR, shape)
        sr = engines[format](lr)
        assert sr.shape == (shape[0], 4 * shape[1], 4 * shape[2], 3) and sr.dtype == np.float32
        assert sr.min() >= 0 and sr.max() <= 1
        assert np.abs(sr - light(lr).numpy()).max() < 1e-5


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


@pytest.mark.parametrize("format", [".onnx", ".tflite"])
def test_every_kind_of_layer_survives_and_computes_in_float32(mixed, tmp_path, format):
    assert any(layer.compute_dtype == "bfloat16" for layer in mixed.layers)
    path = export.save(mixed, tmp_path / f"mixed{format}")
    sr = opened(path)(LR)
    assert np.abs(sr - models.recast(mixed, "float32")(LR).numpy()).max() < 1e-4
    assert np.abs(sr - mixed(LR).numpy()).max() > 1e-4  # bfloat16's own rounding, which the file is free of


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


def test_bad_arguments_say_what_is_wanted(mixed, tmp_path):
    for name in ("model", "model.pb", "onnx"):
        with pytest.raises(ValueError, match=f"'{name}'; let it end with one of .onnx, "):
            export.save(mixed, tmp_path / name)


@pytest.mark.parametrize("format", export.FORMATS)
def test_a_full_disk_or_an_interruption_leaves_nothing(light, tmp_path, monkeypatch, format):
    resource = pytest.importorskip("resource")
    path = tmp_path / f"model{format}"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # no file may grow beyond a page
    try:
        with pytest.raises(OSError, match=f"cannot write .*{path.name} .*File too large"):
            export.save(light, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    rmdir = os.rmdir

    def held(folder, **options):  # NFS keeps a file that is still open
        if str(folder).endswith(".partial"):
            raise OSError(39, "Directory not empty")
        rmdir(folder, **options)

    with monkeypatch.context() as nfs:
        nfs.setattr(os, "rmdir", held)
        assert export.save(light, path).exists()
    for made in tmp_path.iterdir():
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    monkeypatch.setattr(runtime, "patiently", mock.Mock(side_effect=KeyboardInterrupt))  # when all is written
    with pytest.raises(KeyboardInterrupt):
        export.save(light, path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(mixed, tmp_path, monkeypatch):
    for name in ["tf2onnx", *(name for name in sys.modules if name.startswith("tf2onnx."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(OSError, match="cannot write .*new.onnx .*tf2onnx"):
        export.save(mixed, tmp_path / "new.onnx")
