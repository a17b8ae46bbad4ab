"""Resampling, the one degradation, and batches: an HR face becomes an (LR, HR) pair. Taught in chapter 01.

Images are float32 RGB in [0, 1], NHWC; data sets keep them as uint8 to save memory. NumPy only: TensorFlow is imported
by `batches` alone.
"""

import functools

import numpy as np

from . import runtime

SCALE = 4
HR_SIZE = 128


def cubic(x):
    """Keys' cubic kernel with a = -1/2 (Keys 1981, eq. 4 and 15), zero for |x| >= 2."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


KERNELS = {  # name: (kernel, its support: half of its width)
    "nearest": (lambda x: ((x >= -0.5) & (x < 0.5)).astype(float), 0.5),
    "bilinear": (lambda x: np.maximum(1 - np.abs(x), 0), 1.0),
    "bicubic": (cubic, 2.0),
    "lanczos": (lambda x: np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0), 3.0),
}


@functools.lru_cache(maxsize=32)
def resize_weights(size_in, size_out, kernel="bicubic", antialias=True):
    """Matrix of shape (size_out, size_in) whose rows say how each output pixel mixes the input pixels.

    Pixel centres lie at half integers, and every row sums to one, also at the border. With
    `antialias`, the kernel is stretched by the shrink factor, so that no input pixel is skipped; this
    is what MATLAB's `imresize` and Pillow do. Enlarging is the same with or without it.
    """
    function, support = KERNELS[kernel]
    step = size_in / size_out
    stretch = max(step, 1.0) if antialias else 1.0
    weights = np.zeros((size_out, size_in))
    for row in range(size_out):
        centre = (row + 0.5) * step - 0.5
        first = max(int(np.floor(centre - support * stretch)), 0)
        last = min(int(np.ceil(centre + support * stretch)), size_in - 1)
        columns = np.arange(first, last + 1)
        weights[row, columns] = function((columns - centre) / stretch)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype("float32")
    weights.flags.writeable = False  # the cache hands the same array to every caller
    return weights


def resize(images, size, kernel="bicubic", antialias=True):
    """Resize images to `size` = (height, width), first the rows, then the columns.

    images: float32 (H, W, C) or (N, H, W, C). kernel: one of `KERNELS`. Returns float32 of the same
    rank, not clipped: bicubic and Lanczos can leave [0, 1] beside a sharp edge. Raises `ValueError` for another kernel
    or rank.
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel is {kernel!r}; it must be one of {', '.join(KERNELS)}")
    images = np.asarray(images, "float32")
    if images.ndim not in (3, 4):
        raise ValueError(f"images have shape {images.shape}; expected (H, W, C) or (N, H, W, C)")
    height, width = images.shape[-3:-1]
    rows = resize_weights(height, size[0], kernel, antialias)
    columns = resize_weights(width, size[1], kernel, antialias)
    # Many products of one row or column each: BLAS starts no threads for them, which would quarrel
    # with TensorFlow's (measured while the machine was busy: 16 images in 1.7 ms against up to 400 ms).
    shorter = np.matmul(rows, images.swapaxes(-3, -2))  # (..., W, new height, C)
    return np.matmul(columns, shorter.swapaxes(-3, -2))


def quantise(images):
    """Round to the 256 levels that an 8-bit file can hold: floats of any shape -> float32 in [0, 1], clipped."""
    return np.rint(np.clip(images, 0, 1) * 255).astype("float32") / np.float32(255)


def degrade(hr):
    """The one degradation: shrink 4x, bicubic, antialiased, rounded to 8 bits.

    hr: float32 in [0, 1], (H, W, 3) or (N, H, W, 3), H and W multiples of 4.
    Returns lr: float32 in [0, 1], (..., H/4, W/4, 3). Raises `ValueError` for anything else.
    """
    hr = check_images(hr, "hr")
    height, width = hr.shape[-3:-1]
    if height % SCALE or width % SCALE:
        raise ValueError(
            f"hr is {height}x{width}; height and width must be multiples of {SCALE}. "
            f"Crop it, for example hr[..., :{height - height % SCALE}, :{width - width % SCALE}, :]"
        )
    return quantise(resize(hr, (height // SCALE, width // SCALE)))


def upscale(lr, kernel="bicubic"):
    """Enlarge 4x with a classical kernel: the baselines.

    lr: float32 in [0, 1], (h, w, 3) or (N, h, w, 3); returns (..., 4h, 4w, 3), clipped. Raises `ValueError` for another
    range, shape or kernel.
    """
    lr = check_images(lr, "lr")
    height, width = lr.shape[-3:-1]
    return np.clip(resize(lr, (height * SCALE, width * SCALE), kernel), 0, 1)


def check_images(images, name="images"):
    """Return `images` as a float32 array after checking type, shape (…, H, W, 3) and range [0, 1].

    Raises `ValueError` that names what it got, what it wants and how to get there.
    """
    images = np.asarray(images)
    if images.dtype.kind != "f":
        raise ValueError(
            f"{name} has dtype {images.dtype}; expected floats in [0, 1]. "
            "For 8-bit pixels call srlib.data.to_float first"
        )
    if images.ndim not in (3, 4) or images.shape[-1] != 3:
        raise ValueError(f"{name} has shape {images.shape}; expected RGB, (H, W, 3) or (N, H, W, 3)")
    if images.size == 0:
        raise ValueError(f"{name} has shape {images.shape}: it holds no pixels")
    low, high = float(images.min()), float(images.max())
    if not (low >= -0.001 and high <= 1.001):  # written so that NaN fails too
        hint = "divide by 255" if high > 2 else "if it is in [-1, 1], use (x + 1) / 2; else clip it"
        raise ValueError(f"{name} spans [{low:.3g}, {high:.3g}]; expected [0, 1]: {hint}")
    return images.astype("float32", copy=False)


def check_pixels(pixels, name="pixels", rank=4):
    """Return `pixels` as an array after checking that it is uint8 (N, H, W, 3), or (H, W, 3) for `rank` 3.

    Raises `ValueError` that names what it got, what it wants and how to get there.
    """
    pixels = np.asanyarray(pixels)  # a memory map stays one
    if pixels.dtype != np.uint8 or pixels.ndim != rank or pixels.shape[-1] != 3 or 0 in pixels.shape:
        wanted = "(N, H, W, 3), N > 0" if rank == 4 else "(H, W, 3)"
        hint = ". For floats in [0, 1] call srlib.data.to_uint8 first" if pixels.dtype.kind == "f" else ""
        raise ValueError(f"{name} has dtype {pixels.dtype} and shape {pixels.shape}; expected uint8 {wanted}{hint}")
    return pixels


def to_float(pixels):
    """uint8 pixels of any shape -> float32 in [0, 1]. Raises `ValueError` for another dtype."""
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels have dtype {pixels.dtype}; expected uint8")
    return pixels.astype("float32") / np.float32(255)


def to_uint8(images):
    """float32 in [0, 1] of any shape -> uint8, rounded to the nearest level, clipped."""
    return np.rint(np.clip(images, 0, 1) * 255).astype("uint8")


def pairs(pixels):
    """uint8 HR images (N, H, W, 3) -> (lr, hr), float32 in [0, 1]; raises `ValueError` as `to_float` and `degrade`."""
    hr = to_float(pixels)
    return degrade(hr), hr


@functools.lru_cache(maxsize=2)
def epoch_order(count, epoch, seed=0):
    """The order in which an epoch visits `count` images: a permutation that depends on nothing else."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def batch_at(pixels, step, batch, seed=0, flip=True, patch=HR_SIZE):
    """The training batch of one step, as a pure function of (seed, step): (lr, hr), float32 in [0, 1].

    pixels: uint8 (N, 128, 128, 3). lr: (batch, patch / 4, patch / 4, 3); hr: (batch, patch, patch, 3).
    Every epoch visits each image once, in a new order; half of the images are mirrored. patch: side of a random HR
    crop, a multiple of 4 (128: the whole face), whose corner may be any pixel.
    Because nothing depends on earlier calls, a training resumes at any step with the same batches.
    """
    positions = step * batch + np.arange(batch)
    chosen = [epoch_order(len(pixels), int(p) // len(pixels), seed)[p % len(pixels)] for p in positions]
    faces = pixels[chosen]
    rng = np.random.default_rng([seed, step, 1])
    if flip:  # while they are uint8: a quarter of the bytes
        mirrored = rng.random(batch) < 0.5
        faces[mirrored] = faces[mirrored, :, ::-1]
    hr = to_float(faces)
    if patch < hr.shape[1]:
        corners = rng.integers(0, hr.shape[1] - patch + 1, (batch, 2))
        hr = np.stack([face[y : y + patch, x : x + patch] for face, (y, x) in zip(hr, corners)])
    return degrade(hr), hr


def batches(pixels, batch, steps, seed=0, start=0, flip=True, patch=HR_SIZE):
    """A `tf.data.Dataset` of the batches `start`, ..., `steps - 1` of `batch_at`, made ahead of time.

    pixels: uint8 (N, 128, 128, 3), in memory or memory-mapped. Raises `ValueError` for bad arguments.
    """
    pixels = check_pixels(pixels)
    side = pixels.shape[1]
    if pixels.shape[2] != side:
        raise ValueError(f"pixels have shape {pixels.shape}; expected square images")
    if batch < 1 or patch % SCALE or not SCALE <= patch <= side:
        raise ValueError(
            f"batch is {batch} and patch {patch}; expected batch >= 1 and patch a multiple of {SCALE} up to {side}"
        )
    if not 0 <= start <= steps:
        raise ValueError(f"start is {start} and steps {steps}; expected 0 <= start <= steps")
    tf = runtime.load_tensorflow()

    def make(step):
        return batch_at(pixels, int(step), batch, seed, flip, patch)

    def fetch(step):
        lr, hr = tf.numpy_function(make, [step], [tf.float32, tf.float32])
        lr = tf.ensure_shape(lr, (batch, patch // SCALE, patch // SCALE, 3))
        return lr, tf.ensure_shape(hr, (batch, patch, patch, 3))

    return tf.data.Dataset.range(start, steps).map(fetch, num_parallel_calls=2, deterministic=True).prefetch(4)


__getattr__ = runtime.renamed(
    __name__, MAX_PIXELS="photos.MAX_PIXELS",
    PORTRAIT_NAMES="photos.PORTRAIT_NAMES", Photos="datasets.Photos",
    face_crop="photos.face_crop", find_celeba="datasets.find_celeba", load="datasets.load",
    make_shards="datasets.prepare", portraits="photos.portraits", read_folder="datasets.load",
    read_image="photos.read_image", read_shards="datasets.load", sample="datasets.sample",
)  # fmt: skip
