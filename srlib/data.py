"""From photographs to (LR, HR) pairs: reading, cropping, the one degradation, the three data sources.

Images are float32 RGB in [0, 1], NHWC; data sets keep them as uint8 to save memory. This module is
NumPy and Pillow only; TensorFlow is imported by `batches` alone.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import os
import pathlib
import warnings

import numpy as np
from PIL import Image, ImageOps

from . import runtime

SCALE = 4
HR_SIZE = 128
CELEBA_SIZE = (178, 218)  # width, height of an aligned CelebA image
CELEBA_BOX = (0, 20, 178, 198)  # its central 178x178 square: left, upper, right, lower
CELEBA_HANDLE = "jessicali9530/celeba-dataset"
MAX_PIXELS = 64_000_000  # a larger photo is refused before it is decoded
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
FEWEST_IMAGES = 10


# --- resampling ------------------------------------------------------------------------------------


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
    rank, not clipped: bicubic and Lanczos can leave [0, 1] beside a sharp edge. Raises `ValueError`.
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
    """Round to the 256 levels that an 8-bit file can hold; float32 in [0, 1], clipped."""
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
    """Enlarge 4x with a classical kernel: the baselines. lr and result: float32 in [0, 1]."""
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
    if not hasattr(pixels, "dtype"):
        pixels = np.asarray(pixels)
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
    """uint8 HR images (N, H, W, 3) -> (lr, hr), both float32 in [0, 1]."""
    hr = to_float(pixels)
    return degrade(hr), hr


# --- reading ---------------------------------------------------------------------------------------


def read_image(path):
    """Read one photo as uint8 RGB (H, W, 3), upright.

    Converted on the way: grey, palette, CMYK and 16-bit files; transparency is laid on white; the
    EXIF rotation is applied; of several frames or pages, the first is taken. Raises `FileNotFoundError`
    for a missing file and `ValueError`, with the file's name, for one that is no image, is truncated, or
    declares more than `MAX_PIXELS` pixels (read from its header, before anything is decoded).
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"path is a {type(path).__name__}; expected the path of an image file")
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"no image file at {path}: it {what}. Paths are relative to {pathlib.Path.cwd()}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size warning; ours is the limit below
            with Image.open(path) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise ValueError(f"it has {width}x{height} pixels; the limit is {MAX_PIXELS:,}: shrink or crop it")
                return np.asarray(_upright_rgb(image))
    except Exception as error:  # Pillow's decoders raise many types; each means "unreadable"
        raise ValueError(f"cannot read the image {path}: {error}. Replace or remove this file") from error


def _upright_rgb(image):
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip rather than scale
        levels = np.asarray(image).astype("float32")  # exact: 65,535 needs 16 of its 24 bits
        return Image.fromarray(np.rint(levels / 257).clip(0, 255).astype("uint8")).convert("RGB")
    if image.mode == "F":
        raise ValueError("it holds floating-point levels of unknown range")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def face_crop(photo, box=None):
    """Cut the square and shrink it to 128x128, bicubic, antialiased, 8 bits.

    photo: uint8 (H, W, 3). The square is `box` = (left, upper, right, lower) if given, else CelebA's
    178x178 for an aligned CelebA image, else the largest central one. Returns uint8 (128, 128, 3).
    Raises `ValueError` if the square is smaller than 128 pixels, no square, or leaves the photo.
    """
    photo = check_pixels(photo, "the photo", 3)
    height, width = photo.shape[:2]
    if box is None and (width, height) == CELEBA_SIZE:
        box = CELEBA_BOX
    if box is None:
        side = min(height, width)
        left, upper = (width - side) // 2, (height - side) // 2
        box = (left, upper, left + side, upper + side)
    if box[2] - box[0] < HR_SIZE:
        raise ValueError(f"the photo is {width}x{height}; both sides must be at least {HR_SIZE} pixels")
    if box[2] - box[0] != box[3] - box[1] or min(box[:2]) < 0 or box[2] > width or box[3] > height:
        raise ValueError(f"the box is {tuple(box)}; expected a square (left, upper, right, lower) inside {width}x{height}")
    square = Image.fromarray(photo).crop(box)  # first: a kernel must not see what lies outside
    return np.asarray(square.resize((HR_SIZE, HR_SIZE), Image.Resampling.BICUBIC))


# --- the three sources -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Photos:
    """HR images of one source, split: uint8 arrays (N, 128, 128, 3), and a sentence about them."""

    name: str
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    description: str


def load(source=None, profile=None):
    """Load a data source as `Photos`.

    source: `sample` (photos inside scikit-image and matplotlib), `celeba` (Kaggle's copy, found or
    downloaded by kagglehub) or a folder: one in CelebA's layout, or any folder of photos. Default:
    `runtime.data_source()`. profile: the `runtime.Profile` that limits how many images are taken.
    Raises `FileNotFoundError` or `ValueError` that says what is missing and what to do.
    """
    source = source or runtime.data_source()
    profile = profile or runtime.profile()
    if source == "sample":
        return sample(profile)
    folder = find_celeba() if source == "celeba" else pathlib.Path(source).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"SRLIB_DATA names {source!r}, which is not a folder here. "
            "Give 'sample', 'celeba' or the path of a folder of photos"
        )
    return read_folder(folder, profile)


def portraits():
    """The two bundled portraits, cut like CelebA's faces: uint8 (2, 128, 128, 3).

    Eileen Collins (scikit-image's `astronaut`) and Grace Hopper (matplotlib's sample data); both
    photos are in the public domain. No network trains on them.
    """
    import matplotlib.cbook
    import skimage.data

    collins = face_crop(skimage.data.astronaut(), (126, 0, 323, 197))
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        hopper = np.asarray(Image.open(file).convert("RGB"))
    return np.stack([collins, face_crop(hopper, (62, 0, 474, 412))])


PORTRAIT_NAMES = ("Eileen Collins", "Grace Hopper")


def sample(profile=None):
    """Crops from the photographs that scikit-image ships, split by photo; the portraits are the test set."""
    import skimage.data as photos

    profile = profile or runtime.profile()
    scenes = [photos.coffee(), photos.rocket(), photos.hubble_deep_field(), photos.retina(), photos.immunohistochemistry()]
    train = _random_crops(scenes, profile.train_images or 4096, seed=1)
    val = _random_crops([photos.chelsea()], min(profile.held_out_images or 64, 64), seed=2)
    text = f"{len(train)} crops of 5 scenes for training, {len(val)} crops of a cat for validation, 2 portraits for testing"
    return Photos("sample", train, val, portraits(), text)


def _random_crops(photos, count, seed):
    rng = np.random.default_rng(seed)
    crops = []
    for index in range(count):
        photo = photos[index % len(photos)]
        height, width = photo.shape[:2]
        side = int(rng.integers(HR_SIZE, min(height, width, 3 * HR_SIZE) + 1))
        left, upper = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
        crops.append(face_crop(photo, (left, upper, left + side, upper + side)))
    return np.stack(crops)


def find_celeba():
    """Folder of the CelebA data set: a Kaggle mount, kagglehub's cache, or a download of 1.4 GB.

    Raises `FileNotFoundError` that lists the ways without a network when it cannot be had.
    """
    mounts = pathlib.Path("/kaggle/input")
    cache = pathlib.Path(os.environ.get("KAGGLEHUB_CACHE", pathlib.Path.home() / ".cache" / "kagglehub"))
    versions = cache / "datasets" / pathlib.Path(CELEBA_HANDLE) / "versions"
    for root in (mounts, versions):
        for partition in sorted(root.rglob("list_eval_partition.*"), reverse=True):
            version = partition.relative_to(root).parts[0]  # kagglehub marks what it has unpacked to the end
            if root == mounts or (versions.parent / f"{version}.complete").exists():
                return partition.parent
    try:
        import kagglehub

        return pathlib.Path(kagglehub.dataset_download(CELEBA_HANDLE))
    except Exception as error:  # kagglehub raises requests', OS and its own errors
        reason = str(error).splitlines()[0][:200] if str(error) else ""
        raise FileNotFoundError(
            f"CelebA could not be downloaded ({type(error).__name__}: {reason}).\n"
            "To go on, choose one:\n"
            "  1. without a network: set SRLIB_DATA=sample (photos that are already installed);\n"
            "  2. with a copy: unpack kaggle.com/datasets/jessicali9530/celeba-dataset anywhere and set\n"
            "     SRLIB_DATA to its folder (the one that holds list_eval_partition.csv);\n"
            "  3. with a network: try again; a broken download resumes."
        ) from error


def read_folder(folder, profile=None):
    """Read a folder as `Photos`: CelebA's layout with its official partition, or any photos.

    CelebA's layout is a file `list_eval_partition.csv` (or `.txt`) and the images, at any depth below
    `folder`. Photos without such a file are split by name, in sorted order: the last tenth is for
    testing, the tenth before for validation. Raises `FileNotFoundError` without images and `ValueError`
    for fewer than 10, for a broken image (by name), or for a partition that fits none of the images.
    """
    folder = pathlib.Path(folder).expanduser().resolve()
    profile = profile or runtime.profile()
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(
            f"no images in {folder} (looked for {' '.join(sorted(SUFFIXES))}, in subfolders too). "
            "Was the archive unpacked, and is this the right folder?"
        )
    if len(files) < FEWEST_IMAGES:
        raise ValueError(f"only {len(files)} images in {folder}; training needs at least {FEWEST_IMAGES}")
    partition_file = next(iter(sorted(folder.rglob("list_eval_partition.*"))), None)
    if partition_file:
        splits, name = _official_split(files, partition_file), "celeba"
        rule = "CelebA's official, identity-disjoint partition"
    else:
        tenth = max(len(files) // 10, 1)
        splits, name = (files[: -2 * tenth], files[-2 * tenth : -tenth], files[-tenth:]), folder.name
        rule = "split by file name; the same person may stand on both sides"
    limits = (profile.train_images, profile.held_out_images, profile.held_out_images)
    arrays = [prepare(split[:limit]) for split, limit in zip(splits, limits)]
    counts = " / ".join(f"{len(array):,}" for array in arrays)
    return Photos(name, *arrays, f"{counts} images for training / validation / testing, {rule}")


def attributes(source=None, profile=None):
    """CelebA's 40 attributes of the test images, in the order of `load(source, profile).test`.

    They come from `list_attr_celeba.csv` (Kaggle) or `.txt` (the authors') below the folder. Returns a
    dict name -> boolean array (N,); an empty one where there is no such file, as in the sample.
    Raises `ValueError` if the file does not list one of the test images.
    """
    source, profile = source or runtime.data_source(), profile or runtime.profile()
    if source == "sample":
        return {}
    folder = find_celeba() if source == "celeba" else pathlib.Path(source).expanduser().resolve()
    found = [next(iter(sorted(folder.rglob(f"list_{kind}.*"))), None) for kind in ("attr_celeba", "eval_partition")]
    if None in found:
        return {}
    table, header = {}, []
    for line in found[0].read_text().splitlines():
        fields = line.replace(",", " ").split()
        if "Eyeglasses" in fields:
            header = [field for field in fields if field != "image_id"]
        elif header and len(fields) == len(header) + 1:
            table[fields[0]] = [field == "1" for field in fields[1:]]
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    test = [path.name for path in _official_split(files, found[1])[2][: profile.held_out_images]]
    unlisted = [name for name in test if name not in table]
    if unlisted:
        raise ValueError(f"{found[0].name} does not list {len(unlisted)} of the test images, the first is {unlisted[0]}")
    return dict(zip(header, np.array([table[name] for name in test]).T))


def _official_split(files, partition_file):
    wanted = {}
    for line in partition_file.read_text().splitlines():
        fields = line.replace(",", " ").split()
        if len(fields) == 2 and fields[1] in ("0", "1", "2"):
            wanted[fields[0]] = int(fields[1])
    splits = ([], [], [])
    for path in files:
        if path.name in wanted:
            splits[wanted[path.name]].append(path)
    for part, split in zip(("training", "validation", "test"), splits):
        if not split:
            raise ValueError(
                f"{partition_file.name} lists {len(wanted):,} images, but none of its {part} images is among "
                f"the {len(files):,} found. Is the download complete? Delete the folder and fetch it again"
            )
    return splits


def prepare(files):
    """Decode, crop and shrink image files to one uint8 array (N, 128, 128, 3).

    Large sets are kept in `runtime.home()/prepared` as a `.npy` file and memory-mapped, so that the
    work is done once and needs no memory; the name depends on every path, size and date. Nothing is
    written beside the photos. Raises `ValueError` that names the files that cannot be read (the first 5),
    and `OSError` if the prepared faces do not fit on the disk.
    """
    if len(files) <= 256:
        return np.stack(list(_faces(files)))
    stamp = hashlib.sha256()
    for path in files:
        status = path.stat()
        stamp.update(f"{path}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    target = runtime.home() / "prepared" / f"crop{HR_SIZE}-{len(files)}-{stamp.hexdigest()[:16]}.npy"
    if not target.exists():
        partial = target.with_suffix(f".{os.getpid()}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(partial, "wb") as file:  # not a memory map: on a full disk, that ends the process
                shape = (len(files), HR_SIZE, HR_SIZE, 3)
                np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
                for face in _faces(files):
                    file.write(face.tobytes())
            partial.replace(target)  # complete or absent: nobody sees half a file
        except OSError as error:
            raise OSError(
                f"cannot keep the prepared faces in {target.parent} ({error.strerror}); they need "
                f"{len(files) * HR_SIZE**2 * 3 / 1e6:,.0f} MB. Set SRLIB_HOME to a folder with that much space"
            ) from error
        finally:
            partial.unlink(missing_ok=True)
    return np.load(target, mmap_mode="r")


def _faces(files):
    """The faces of image files, in order, decoded by several threads; all broken files are named at the end."""
    broken = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for face in pool.map(_read_face, files):
            if isinstance(face, Exception):
                broken.append(str(face))
            elif not broken:
                yield face
    if broken:
        more = f"\n... and {len(broken) - 5:,} more" if len(broken) > 5 else ""
        raise ValueError(f"{len(broken):,} of {len(files):,} images cannot be used:\n" + "\n".join(broken[:5]) + more)


def _read_face(path):
    """One face, or the error that its file gives, with its name."""
    try:
        return face_crop(read_image(path))
    except (ValueError, FileNotFoundError) as error:
        return error if str(path) in str(error) else ValueError(f"{path}: {error}")


# --- batches ---------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=2)
def epoch_order(count, epoch, seed=0):
    """The order in which an epoch visits `count` images: a permutation that depends on nothing else."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def batch_at(pixels, step, batch, seed=0, flip=True, patch=HR_SIZE):
    """The training batch of one step, as a pure function of (seed, step): (lr, hr), float32 in [0, 1].

    pixels: uint8 (N, 128, 128, 3). Every epoch visits each image once, in a new order; half of the
    images are mirrored. patch: side of a random HR crop, a multiple of 4 (128: the whole face).
    Because nothing depends on earlier calls, a training resumes at any step with the same batches.
    """
    positions = step * batch + np.arange(batch)
    chosen = [epoch_order(len(pixels), int(p) // len(pixels), seed)[p % len(pixels)] for p in positions]
    hr = to_float(pixels[chosen])
    rng = np.random.default_rng([seed, step, 1])
    if flip:
        mirrored = rng.random(batch) < 0.5
        hr[mirrored] = hr[mirrored, :, ::-1]
    if patch < hr.shape[1]:
        corners = rng.integers(0, (hr.shape[1] - patch) // SCALE + 1, (batch, 2)) * SCALE
        hr = np.stack([face[y : y + patch, x : x + patch] for face, (y, x) in zip(hr, corners)])
    return degrade(hr), hr


def batches(pixels, batch, steps, seed=0, start=0, flip=True, patch=HR_SIZE):
    """A `tf.data.Dataset` of the batches `start`, ..., `steps - 1` of `batch_at`, made ahead of time.

    pixels: uint8 (N, 128, 128, 3), in memory or memory-mapped. Raises `ValueError` for bad arguments.
    """
    pixels = check_pixels(pixels)
    side = min(pixels.shape[1:3])
    if batch < 1 or patch % SCALE or not SCALE <= patch <= side:
        raise ValueError(f"batch is {batch} and patch {patch}; expected batch >= 1 and patch a multiple of {SCALE} up to {side}")
    if not 0 <= start <= steps:
        raise ValueError(f"start is {start} and steps {steps}; expected 0 <= start <= steps")
    tf = runtime.load_tensorflow()

    def make(step):
        return batch_at(pixels, int(step), batch, seed, flip, patch)

    def fetch(step):
        lr, hr = tf.numpy_function(make, [step], [tf.float32, tf.float32])
        return tf.ensure_shape(lr, (batch, patch // SCALE, patch // SCALE, 3)), tf.ensure_shape(hr, (batch, patch, patch, 3))

    steps_left = tf.data.Dataset.range(start, steps)
    return steps_left.map(fetch, num_parallel_calls=2, deterministic=True).prefetch(4)
