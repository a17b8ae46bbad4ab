"""Take a generator along: SavedModel, LiteRT and ONNX files, each checked against the Keras model it came from.

    python -m srlib.export facesr-light --format onnx

Every file takes what every generator takes: "lr", float32 RGB in [0, 1], (N, h, w, 3), any N and any h, w >= 8,
and gives (N, 4h, 4w, 3) in [0, 1]. `open_exported` runs ONNX and LiteRT files without TensorFlow.
"""

import argparse
import functools
import os
import pathlib
import sys
import tempfile
import time
import warnings

import numpy as np

from . import data, metrics, pretrained, runtime

FORMATS = {  # name: how the name of such a file ends
    "savedmodel": "-savedmodel",  # a folder
    "onnx": ".onnx",
    "litert": ".tflite",
    "litert-float16": "-float16.tflite",  # weights in half precision, sums in float32
    "litert-int8": "-int8.tflite",  # weights in 8 bits, activations in 8 bits as each layer finds their range
}
NEEDS = {"onnx": "tf2onnx and onnxruntime", "litert": "ai-edge-litert"}
INSTALL = 'pip install "srlib[export]" (from a checkout: pip install -e ".[export]")'


def float32_twin(model):
    """The same network with the same weights, calculating in float32 throughout.

    A network built in mixed precision would export bfloat16 operations, which the engines below do not take.
    Its weights are float32 already, so the twin is what the network was meant to be; its own results are rounder.
    """
    runtime.load_tensorflow()
    import keras

    def plain(config):
        if isinstance(config, dict):
            if config.get("class_name") == "DTypePolicy":
                return config | {"config": config["config"] | {"name": "float32"}}
            return {key: plain(value) for key, value in config.items()}
        return type(config)(map(plain, config)) if isinstance(config, (list, tuple)) else config

    twin = keras.Model.from_config(plain(model.get_config()))
    twin.set_weights(model.get_weights())
    twin(np.zeros((1, 8, 8, 3), "float32"))  # Keras exports only what has been called
    return twin


def save(model, path, format):
    """Write a generator in one of `FORMATS`, float32, for any image size; returns the path.

    model: any generator of `srlib.models` (a Keras functional model), in whatever precision it was built.
    path: ends in .onnx or .tflite as the format asks; for a SavedModel, a folder that does not exist yet.
    Raises `ValueError` for an unknown format or another ending, `FileExistsError` rather than overwrite, and
    `ImportError` that says what to install.
    """
    path = pathlib.Path(path).expanduser()
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; it must be one of {', '.join(FORMATS)}")
    suffix = pathlib.Path("name" + FORMATS[format]).suffix
    if path.suffix != suffix and (suffix or path.suffix in (".onnx", ".tflite")):
        raise ValueError(f"path is {path.name!r}; in format {format!r} it must end in {suffix or 'neither .onnx nor .tflite'}")
    if path.exists():
        raise FileExistsError(f"{path} exists already; remove it, or choose another path")
    path.parent.mkdir(parents=True, exist_ok=True)
    tf, twin = runtime.load_tensorflow(), float32_twin(model)
    with warnings.catch_warnings(), runtime._silent_descriptor(2):  # the converters' progress, which is no news
        warnings.simplefilter("ignore")
        if format == "savedmodel":
            twin.export(str(path), verbose=False)
        elif format == "onnx":
            try:
                import tf2onnx  # noqa: F401  (Keras imports it)
            except ImportError as error:
                raise ImportError(f"format 'onnx' needs {NEEDS['onnx']}: {INSTALL}") from error
            twin.export(str(path), format="onnx", verbose=False)
        else:
            with tempfile.TemporaryDirectory() as folder:
                twin.export(folder, verbose=False)
                converter = tf.lite.TFLiteConverter.from_saved_model(folder)
                if format != "litert":
                    converter.optimizations = [tf.lite.Optimize.DEFAULT]
                if format == "litert-float16":
                    converter.target_spec.supported_types = [tf.float16]
                path.write_bytes(converter.convert())
    return path


def open_exported(path, threads=None):
    """A function lr -> sr that runs an exported file by its own engine: ONNX Runtime, LiteRT or TensorFlow.

    lr: float32 in [0, 1], (N, h, w, 3); sr: (N, 4h, 4w, 3). threads: default all cores; a SavedModel takes TensorFlow's.
    Raises `FileNotFoundError`, `ValueError` for a file of another kind, and `ImportError` that says what to install.
    """
    path, threads = pathlib.Path(path).expanduser(), threads or os.cpu_count()
    if not path.exists():
        raise FileNotFoundError(f"no exported model at {path}")
    if path.suffix == ".onnx":
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(f"to run {path.name}, install {NEEDS['onnx']}: {INSTALL}") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda lr: session.run(None, {"lr": lr})[0]
    if path.suffix == ".tflite":
        interpreter = _litert_interpreter(path)

        @functools.lru_cache(maxsize=4)
        def runner(shape):  # one for each: an 8-bit network whose input changes its size crashes TensorFlow 2.19's copy
            with warnings.catch_warnings(), runtime._silent_descriptor(2):
                warnings.simplefilter("ignore")  # TensorFlow's copy says that it will go one day
                run = interpreter(str(path), num_threads=threads).get_signature_runner()
                run(lr=np.zeros(shape, "float32"))  # the first run says which kernels it chose
            return run

        runner((1, 8, 8, 3))  # a damaged file is found now
        return lambda lr: runner(lr.shape)(lr=lr)["output_0"]
    if not (path / "saved_model.pb").is_file():
        raise ValueError(f"{path} is no SavedModel, .onnx or .tflite file")
    loaded = runtime.load_tensorflow().saved_model.load(str(path))
    return lambda lr: loaded.serve(lr).numpy()


def _litert_interpreter(path):
    """LiteRT's class `Interpreter`, or the older copy inside TensorFlow where LiteRT is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        try:
            return runtime.load_tensorflow().lite.Interpreter
        except (ImportError, AttributeError):
            raise ImportError(f"to run {path.name}, install {NEEDS['litert']}: {INSTALL}") from error
    return Interpreter


def photos():
    """The real photos on which `check` compares: two portraits and six crops of a cat, float32 (8, 128, 128, 3)."""
    return data.to_float(np.concatenate([data.portraits(), data.sample(runtime.PROFILES["smoke"]).val]))


def size(path):
    """Bytes of an exported model: of the file, or of everything in the folder."""
    path = pathlib.Path(path)
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size


def milliseconds(function, repeats=20):
    """Fastest of several calls of `function()`, in ms: other programs can only slow it down."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds)


def check(model, path, repeats=20):
    """Compare an exported file with its Keras model, in float32, on `photos`; returns a dict.

    Keys: megabytes; max_difference, over all photos and one that is not square (32x20), in [0, 1]; psnr, the
    mean of the exported model's RGB PSNR against the originals, in dB, and psnr_change, what the export changed of
    it; ms, the time of one 32x32 face on all cores, the fastest of `repeats` calls, and ms_keras, the same for the
    Keras model as a `tf.function`. Raises as `open_exported`.
    """
    run, twin, tf = open_exported(path), float32_twin(model), runtime.load_tensorflow()
    hr = photos()
    lr = data.degrade(hr)
    keras_sr, sr = twin(lr).numpy(), run(lr)
    oblong = lr[:1, :, :20]
    difference = np.max([np.abs(sr - keras_sr).max(), np.abs(run(oblong) - twin(oblong).numpy()).max()])  # a NaN stays
    before, after = metrics.psnr(hr, keras_sr).mean(), metrics.psnr(hr, sr).mean()
    compiled = tf.function(lambda images: twin(images, training=False))
    return {
        "megabytes": size(path) / 1e6,
        "max_difference": float(difference),
        "psnr": float(after),
        "psnr_change": float(after - before),
        "ms": milliseconds(lambda: run(lr[:1]), repeats),
        "ms_keras": milliseconds(lambda: compiled(lr[:1]).numpy(), repeats),
    }


def main(arguments=None):
    """The command `python -m srlib.export`: writes a trained network in one or all formats, and checks each."""
    parser = argparse.ArgumentParser(prog="python -m srlib.export", description="Export a trained network, and check the file.")
    parser.add_argument("name", choices=pretrained.names(), help="which network")
    parser.add_argument("--format", choices=[*FORMATS, "all"], default="all")
    parser.add_argument("--folder", default=".", help="where the files go (default: here)")
    options = parser.parse_args(arguments)
    model = pretrained.load(options.name)
    print(f"{'':15} {'MB':>6} {'max difference':>15} {'PSNR, dB':>9} {'change, dB':>11} {'ms a face':>10} {'Keras':>6}")
    left_out = []
    for format in FORMATS if options.format == "all" else [options.format]:
        path = pathlib.Path(options.folder) / (options.name + FORMATS[format])
        try:
            row = check(model, save(model, path, format))
        except (ImportError, OSError, ValueError) as error:  # the other formats may be possible
            left_out.append(f"{format} was left out: {error}")
            continue
        print(
            f"{format:15} {row['megabytes']:6.2f} {row['max_difference']:15.1e} {row['psnr']:9.2f} {row['psnr_change']:11.4f} "
            f"{row['ms']:10.1f} {row['ms_keras']:6.1f}   {path}"
        )
    if left_out:
        sys.exit("\n".join(left_out))


if __name__ == "__main__":
    main()
