"""`srlib export NETWORK FILE ...`: write a trained network for other engines.

NETWORK is the name of a shipped one, or your own: the folder of a training, or a file that Keras saved. How a FILE ends
says its format: `.onnx`, `.tflite` (LiteRT) or `-savedmodel` (a folder, for TensorFlow). Taught in chapter 06.

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

import contextlib
import io
import pathlib
import tempfile
import warnings

import numpy as np

from .. import models, pretrained, runtime
from ..backend import tf

FORMATS = {".onnx": "onnx", ".tflite": "litert", "-savedmodel": "tf_saved_model"}  # ending: as Keras calls it


def save(model, path):
    """Write a generator in the format that `path` ends like, one of `FORMATS`, for any image size; returns the path.

    model: any generator of `srlib.models` (a Keras functional model), in whatever precision it was built; the file
    computes in float32. path: must not exist yet. It is made in a temporary folder beside it and renamed, so that
    nothing incomplete ever has its name. ONNX needs `pip install tf2onnx onnxruntime`.
    Raises `ValueError` for another ending, `FileExistsError` rather than overwrite, and `OSError` for what the drive or
    the converter refuses.
    """
    path = pathlib.Path(path).expanduser()
    formats = [format for ending, format in FORMATS.items() if path.name.endswith(ending)]
    if not formats:
        raise ValueError(f"no format goes with {path.name!r}; let it end with one of {', '.join(FORMATS)}")
    if path.exists():
        raise FileExistsError(f"{path} exists already; remove it, or choose another path")
    runtime.make_folder(path.parent)
    try:
        with (
            tempfile.TemporaryDirectory(".partial", f"{path.name}.", path.parent, ignore_cleanup_errors=True) as folder,
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
            runtime.silent_stderr(),  # the converters' progress, which is no news
        ):
            made, twin = pathlib.Path(folder) / f"made{path.suffix}", models.recast(model, "float32")
            for layer in twin.layers if path.suffix == ".tflite" else ():  # Keras' way loses count of the channels
                if isinstance(layer, tf.keras.layers.UpSampling2D) and layer.interpolation == "nearest":
                    layer.call = lambda x, factors=layer.size: tf.image.resize(x, tf.shape(x)[1:3] * factors, "nearest")
            twin(np.zeros((1, 8, 8, 3), "float32"))  # Keras exports only what has been called
            twin.export(str(made), format=formats[0], verbose=False)
            runtime.patiently(lambda: made.rename(path))
    except Exception as error:  # of many types: TensorFlow's, the converters', the system's
        reason = (str(error).strip() or repr(error)).splitlines()[0][-240:]  # what went wrong ends a line of paths
        raise OSError(f"cannot write {path} ({reason})") from error
    return path


OPTIONS = {
    "network": {"help": "a shipped name, the folder of a training, or a Keras file"},
    "files": {"metavar": "file", "nargs": "+", "help": f"a new one that ends with one of {', '.join(FORMATS)}"},
}


def main(network, files):
    model = pretrained.load(network)
    for file in files:
        runtime.say(f"written: {save(model, file)}")
