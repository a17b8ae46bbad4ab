"""Use a generator: on batches, on one photo of any size in tiles, on a file. Taught in chapters 00 and 02."""

import functools
import math
import pathlib
import time

import numpy as np
from PIL import Image

from . import data, models, photos, pretrained, runtime
from .backend import keras, tf

SMALLEST = 8  # pixels: a side of an LR image
TILE = 384  # side of a tile in `enlarge`, pixels of the photo: the overlaps cost 1.4 times, and 0.5 GB are enough
MAX_ENLARGE = 16_000_000  # pixels of a photo for `enlarge`: the result has sixteen times as many, 768 MB


def predict(model, lr, batch=20):
    """Apply a generator in batches. lr: float32 (N, h, w, 3) in [0, 1]; returns (N, 4h, 4w, 3), clipped.

    For one large photo, see `enlarge`. Raises `ValueError` for another shape or range, which a network would turn into
    plausible nonsense, and for h, w < 8.
    """
    lr = data.check_images(lr, "lr")
    if lr.ndim != 4 or min(lr.shape[1:3]) < SMALLEST:
        raise ValueError(
            f"lr has shape {lr.shape}; expected (N, h, w, 3) with h, w >= {SMALLEST}. For a single image, pass lr[None]"
        )
    if not hasattr(model, "_srlib_run"):  # one graph for all sizes, kept with the model
        run = functools.partial(model, training=False)  # no lambda: TensorFlow would count all models as one and warn
        model._srlib_run = tf.function(run, input_signature=[tf.TensorSpec((None, None, None, 3), "float32")])
    parts = [model._srlib_run(tf.constant(lr[i : i + batch])).numpy() for i in range(0, len(lr), batch)]
    return np.clip(np.concatenate(parts), 0, 1)


POINTWISE = (
    models.PixelShuffle, models.ClipAtInference, keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU,
    keras.layers.PReLU, keras.layers.Add, keras.layers.Concatenate, keras.layers.Rescaling,
    keras.layers.BatchNormalization, keras.layers.UpSampling2D,
)  # fmt: skip


def receptive_radius(model):
    """How many LR pixels away, to each side, an input pixel can change an output pixel of a generator.

    Half of the receptive field, bounded from above by the sum over all layers: a kernel of width k at scale s
    reaches (k - 1) / 2s LR pixels. Raises `ValueError` for a layer whose reach is not known or not limited.
    """
    layers, side, total = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)], 64, 0.0
    shapes = keras.Model(model.inputs, [layer.output for layer in layers]).compute_output_shape((1, side, side, 3))
    for layer, shape in zip(layers, shapes):
        if isinstance(layer, keras.layers.Conv2DTranspose):
            total += max(layer.kernel_size) / shape[1] * side  # generous: it counts from the finer side
        elif isinstance(layer, keras.layers.Conv2D):
            total += (max(layer.kernel_size) // 2) * max(layer.dilation_rate) * side / (shape[1] * max(layer.strides))
        elif isinstance(layer, models.BicubicUpsampling):
            total += 2
        elif not isinstance(layer, POINTWISE):
            kind = type(layer).__name__
            raise ValueError(
                f"the reach of layer {layer.name!r} ({kind}) is not known: use `predict` on the whole image"
            )
    return math.ceil(total)


def predict_tiles(model, image, side=192):
    """Upscale one image of any size in tiles, in bounded memory; yields (y, x, sr tile): the LR position of its corner,
    and float32 in [0, 1].

    image: uint8 or float32 in [0, 1], (h, w, 3). side: of a tile, in LR pixels; the tile that the network sees
    is larger by the network's `receptive_radius` on every side, as far as the image goes, so that a kept pixel never
    feels where its tile ends: together the tiles equal `predict` on the whole image up to rounding.
    """
    margin, scale = max(receptive_radius(model), SMALLEST), data.SCALE
    for y in range(0, image.shape[0], side):
        for x in range(0, image.shape[1], side):
            top, left = max(y - margin, 0), max(x - margin, 0)
            seen = image[top : y + side + margin, left : x + side + margin]
            seen = data.to_float(seen) if seen.dtype == np.uint8 else seen
            sr = predict(model, seen[None])[0, (y - top) * scale :, (x - left) * scale :]
            yield y, x, sr[: side * scale, : side * scale]


@functools.lru_cache(maxsize=16)
def network(name, digest):
    """The network of a name or path, kept for the next photo. digest: of its file: a changed one is read anew."""
    return pretrained.load(name, runtime.best_precision())


def enlarge(photo, name="facesr-gan", tile=TILE, verbose=True, save=None):
    """Enlarge one photo of any size four times: uint8 (h, w, 3) -> uint8 (4h, 4w, 3).

    photo: the path of an image file, or uint8 (h, w, 3), h, w >= 8. name: of a network, as in `pretrained.load`; it
    runs in `runtime.best_precision`. A large photo is cut into tiles of `tile` pixels that overlap by the network's
    receptive radius, so that no seam can show. Memory: the photo, the result (48 bytes a pixel of the photo: 576 MB for
    12 megapixels) and the work on one tile, less than 1 GB however large the photo is; larger tiles waste less on
    overlaps, and need more. verbose: say in about ten lines how far a photo of several tiles is. save: the path of
    an image file for the result; it replaces an older one whole.
    Raises `ValueError` for a photo of more than `MAX_ENLARGE` pixels, whose result would fill the memory.
    """
    photo = photos.read_image(photo) if isinstance(photo, (str, pathlib.Path)) else data.check_pixels(photo, "photo", 3)
    height, width = photo.shape[:2]
    if height * width > MAX_ENLARGE:
        raise ValueError(
            f"the photo has {width}x{height} pixels; the limit is {MAX_ENLARGE:,}: crop it, or enlarge parts of it"
        )
    result = np.empty((data.SCALE * height, data.SCALE * width, 3), "uint8")
    count, start = -(-height // tile) * -(-width // tile), time.perf_counter()
    tiles = predict_tiles(network(str(name), pretrained.digest(name)), photo, tile)
    for done, (y, x, sr) in enumerate(tiles, start=1):
        y, x = data.SCALE * y, data.SCALE * x
        result[y : y + sr.shape[0], x : x + sr.shape[1]] = data.to_uint8(sr)
        if verbose and count > 1 and done in (*range(0, count, -(-count // 10)), count):
            left = (time.perf_counter() - start) / done * (count - done) / 60
            runtime.say(f"tile {done:>3}/{count}  {name}, {runtime.best_precision()}  {left:.1f} min left")
    if save:
        with runtime.replacing(save) as partial:
            Image.fromarray(result).save(partial)
    return result
