"""`srlib export NETWORK`: write a trained network for other engines, and compare each file with Keras. Chapter 06.

NETWORK is the name of a shipped one, or your own: the folder of a training, or a file that Keras saved.

Running a file needs neither TensorFlow nor srlib. With ONNX Runtime (`pip install onnxruntime numpy pillow`):

    import numpy as np
    import onnxruntime
    from PIL import Image

    session = onnxruntime.InferenceSession("facesr-light.onnx")
    lr = np.asarray(Image.open("small.png").convert("RGB"), "float32") / 255
    sr = session.run(None, {"lr": lr[None]})[0][0]
    Image.fromarray(np.rint(255 * sr).astype("uint8")).save("large.png")

With LiteRT, which also runs on phones (`pip install ai-edge-litert numpy pillow`):

    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from PIL import Image

    enlarge = Interpreter("facesr-light.tflite").get_signature_runner()
    lr = np.asarray(Image.open("small.png").convert("RGB"), "float32") / 255
    sr = enlarge(lr=lr[None])["output_0"][0]
    Image.fromarray(np.rint(255 * sr).astype("uint8")).save("large.png")
"""

import argparse
import contextlib
import functools
import importlib
import io
import os
import pathlib
import tempfile
import timeit
import warnings

import numpy as np

from .. import data, datasets, inference, metrics, models, photos, pretrained, runtime

tf = runtime.load_tensorflow()

FORMATS = {  # name: how the name of such a file ends
    "savedmodel": "-savedmodel",  # a folder
    "onnx": ".onnx",
    "litert": ".tflite",
}


def optional(module, packages):
    """Import a module that srlib does not install by itself. Raises `ImportError` that says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} cannot be imported: pip install {packages} ({error})") from error


def save(model, path):
    """Write a generator in the format that `path` ends like, one of `FORMATS`, for any image size; returns the path.

    model: any generator of `srlib.models` (a Keras functional model), in whatever precision it was built; the file
    computes in float32. path: must not exist yet. It is made in a temporary folder beside it and renamed, so that
    nothing incomplete ever has its name.
    Raises `ValueError` for another ending, `FileExistsError` rather than overwrite, `ImportError` that says what to
    install, and `OSError` for what the drive or the converter refuses.
    """
    path = pathlib.Path(path).expanduser()
    if not path.name.endswith(tuple(FORMATS.values())):
        choices = ", ".join(f"NAME{ending} ({name})" for name, ending in FORMATS.items())
        raise ValueError(f"no format goes with {path.name!r}; choose one of {choices}")
    if path.exists():
        raise FileExistsError(f"{path} exists already; remove it, or choose another path")
    format = {".onnx": "onnx", ".tflite": "litert"}.get(path.suffix, "tf_saved_model")  # as Keras calls it
    if format == "onnx":
        optional("tf2onnx", "tf2onnx onnxruntime")  # for Keras
    runtime.make_folder(path.parent)
    try:
        with (
            tempfile.TemporaryDirectory(prefix=f"{path.name}.", suffix=".partial", dir=path.parent) as folder,
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
            runtime.silent_stderr(),  # the converters' progress, which is no news
        ):
            made, twin = pathlib.Path(folder) / f"made{path.suffix}", models.recast(model, "float32")
            for layer in twin.layers if format == "litert" else ():  # it loses count of the channels in Keras' way
                if isinstance(layer, tf.keras.layers.UpSampling2D) and layer.interpolation == "nearest":
                    layer.call = lambda x, factors=layer.size: tf.image.resize(x, tf.shape(x)[1:3] * factors, "nearest")
            twin(np.zeros((1, 8, 8, 3), "float32"))  # Keras exports only what has been called
            twin.export(str(made), format=format, verbose=False)
            runtime.patiently(lambda: made.rename(path))
    except Exception as error:  # of many types: TensorFlow's, the converters', the system's
        reason = (str(error).strip() or repr(error)).splitlines()[0][-240:]  # what went wrong ends a line of paths
        raise OSError(f"cannot write {path} ({reason})") from error
    return path


def open_exported(path):
    """A function lr -> sr that runs an exported file by its own engine: ONNX Runtime, LiteRT or TensorFlow.

    lr: float32 in [0, 1], (N, h, w, 3), h, w >= 8; sr: (N, 4h, 4w, 3). The function raises `ValueError` for other
    input: an engine would turn levels of 0 to 255 into white.
    Raises `FileNotFoundError`, `ValueError` for a file of another kind, and `ImportError` that says what to install.
    """
    path = pathlib.Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"no exported model at {path}")
    if path.suffix == ".onnx":
        session = optional("onnxruntime", "onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda lr: session.run(None, {session.get_inputs()[0].name: inference.check_lr(lr)})[0]
    if path.suffix == ".tflite":
        module = optional("ai_edge_litert.interpreter", "ai-edge-litert")
        with runtime.silent_stderr():  # the first run says which kernels it chose
            run = module.Interpreter(str(path), num_threads=os.cpu_count()).get_signature_runner()
            (name,) = run.get_input_details()
            run(**{name: np.zeros((1, 8, 8, 3), "float32")})
        return lambda lr: next(iter(run(**{name: inference.check_lr(lr)}).values()))
    if (path / "saved_model.pb").is_file():
        loaded = tf.saved_model.load(str(path))
        return lambda lr: loaded.serve(inference.check_lr(lr)).numpy()  # keeps `loaded`, and with it the weights
    raise ValueError(f"{path} is no SavedModel, .onnx or .tflite file")


def check(model, path, repeats=20):
    """Compare an exported file with its Keras model, in float32, on two portraits and six crops of a cat: a dict.

    Keys: megabytes; max_difference, over all of them and one that is not square (32x20), in [0, 1]; psnr, the
    mean of the exported model's RGB PSNR against the originals, in dB, and psnr_change, what the export changed of
    it; ms, the time of one 32x32 face on all cores, the fastest of `repeats` calls, and ms_keras, the same for
    `inference.predict`. Raises as `open_exported`.
    """
    path = pathlib.Path(path).expanduser()
    engines = functools.partial(inference.predict, models.recast(model, "float32")), open_exported(path)
    lr, hr = data.pairs(np.concatenate([photos.portraits(), datasets.sample(runtime.PROFILES["smoke"]).val]))
    faces, oblongs = ([engine(images) for engine in engines] for images in (lr, lr[:1, :, :20]))
    before, after = (metrics.psnr(hr, sr).mean() for sr in faces)
    times = [min(timeit.repeat(lambda: engine(lr[:1]), number=1, repeat=repeats + 1)) for engine in engines]
    return {
        "megabytes": sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file()) / 1e6,
        "max_difference": float(
            np.max([np.abs(ours - theirs).max() for theirs, ours in (faces, oblongs)])
        ),  # NaN stays
        "psnr": float(after),
        "psnr_change": float(after - before),
        "ms": 1000 * times[1],
        "ms_keras": 1000 * times[0],
    }


def main(arguments):
    parser = argparse.ArgumentParser(prog="srlib export", description=__doc__)
    parser.add_argument("network", help="a shipped name, the folder of a training, or a Keras file")
    parser.add_argument("--format", choices=[*FORMATS, "all"], default="all")
    parser.add_argument("--folder", default=".", help="where the files go (default: here)")
    options = parser.parse_args(arguments)
    model, failures = pretrained.load(options.network), []
    runtime.say(
        f"{'':10} {'MB':>6} {'max difference':>15} {'PSNR, dB':>9} {'change, dB':>11} {'ms a face':>10} {'Keras':>6}"
    )
    name = pathlib.Path(options.network).expanduser().resolve().name.removesuffix(".keras")
    for format in FORMATS if options.format == "all" else [options.format]:
        try:
            row = check(model, path := save(model, pathlib.Path(options.folder) / (name + FORMATS[format])))
            runtime.say(
                f"{format:10} {row['megabytes']:6.2f} {row['max_difference']:15.1e} {row['psnr']:9.2f} "
                f"{row['psnr_change']:11.4f} {row['ms']:10.1f} {row['ms_keras']:6.1f}   {path}"
            )
        except (ImportError, OSError, ValueError) as error:  # the other formats may be possible
            failures.append(f"{format}: {error}")
    if failures:
        raise ValueError("\n".join(failures))
