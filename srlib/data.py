"""From photographs to (LR, HR) pairs: reading, cropping, the one degradation, the three data sources.

    python -m srlib.data path/to/celeba path/to/shards

turns a folder of photos into a set of prepared shards, which `load` reads like the folder (see `make_shards`).

Images are float32 RGB in [0, 1], NHWC; data sets keep them as uint8 to save memory. This module is
NumPy and Pillow only; TensorFlow is imported by `batches` alone.
"""

import argparse
import concurrent.futures
import dataclasses
import functools
import hashlib
import io
import itertools
import json
import os
import pathlib
import shutil
import sys
import time
import warnings

import numpy as np
from PIL import Image, ImageOps

from . import runtime

warnings.filterwarnings("ignore", module=r"PIL\.")  # about sizes and tags; `catch_warnings` is not safe in threads

SCALE = 4
HR_SIZE = 128
CELEBA_SIZE = (178, 218)  # width, height of an aligned CelebA image
CELEBA_BOX = (0, 20, 178, 198)  # its central 178x178 square: left, upper, right, lower
CELEBA_HANDLE = "jessicali9530/celeba-dataset"
MAX_PIXELS = 64_000_000  # a larger photo is refused before it is decoded
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
FEWEST_IMAGES = 10
SHARD = 2048  # faces in one shard, 101 MB: a hundred shards hold CelebA, and none is too large for a FAT32 stick
SPLITS = ("train", "val", "test")
UNFINISHED = "unfinished.index.json"  # the index of a set of shards while it is made
CELEBA_TERMS = (  # in our words; theirs count
    "CelebA (Liu, Luo, Wang and Tang 2015; mmlab.ie.cuhk.edu.hk/projects/CelebA.html): for non-commercial research only. "
    "No image, part or derived picture may be copied on, published or distributed, except copies for internal use at a "
    "single site within the same organization. Read the agreement on that page before you copy this set."
)


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
        with open(path, "rb") as file, Image.open(file) as image:  # a path would be mapped, which garbles turned TIFFs
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"it has {width}x{height} pixels; the limit is {MAX_PIXELS:,}: shrink or crop it")
            if image.mode == "I" and image.format not in ("PNG", "PPM"):  # those two mean 16 bits
                raise ValueError("it holds 32-bit levels of unknown range")
            if image.mode.startswith("I;16") and image.format == "TIFF" and (image.tag_v2.get(258), image.tag_v2.get(262)) != ((16,), 1):
                raise ValueError("it holds grey levels of 12 bits, or white as 0; save it as ordinary 16-bit grey")
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
        raise ValueError(f"the photo is {width}x{height}, the square {box[2] - box[0]} wide; both sides must be at least {HR_SIZE} pixels")
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


def load(source=None, profile=None, worker=0, workers=1):
    """Load a data source as `Photos`.

    source: `sample` (photos inside scikit-image and matplotlib), `celeba` (Kaggle's copy, found or
    downloaded by kagglehub) or a folder: shards from `make_shards`, one in CelebA's layout, or any folder of
    photos. Default: `runtime.data_source()`. profile: the `runtime.Profile` that limits how many images are
    taken. worker, workers: of several machines, number `worker` (from 0) gets its own part of the training
    images, of shards whole files; all get the same validation and test images.
    Raises `FileNotFoundError` or `ValueError` that says what is missing and what to do.
    """
    if not 0 <= worker < workers:
        raise ValueError(f"worker is {worker} of {workers}; expected 0 <= worker < workers")
    source = source or runtime.data_source()
    profile = profile or runtime.profile()
    if is_shards(source):
        return read_shards(source, profile, worker, workers)
    photos = _load(source, profile)
    return photos if workers == 1 else dataclasses.replace(photos, train=photos.train[worker::workers])


def _load(source, profile):
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
    profile = profile or runtime.profile()
    splits, name, rule = _split_folder(folder)
    limits = (profile.train_images, profile.held_out_images, profile.held_out_images)
    return _photos(name, [prepare(split[:limit]) for split, limit in zip(splits, limits)], rule)


def _photos(name, arrays, rule):
    counts = " / ".join(f"{len(array):,}" for array in arrays)
    return Photos(name, *arrays, f"{counts} images for training / validation / testing, {rule}")


def _split_folder(folder):
    """The image files of a folder, split: ((train, val, test), name, sentence about the rule)."""
    folder = pathlib.Path(folder).expanduser().resolve()
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
        return _official_split(files, partition_file), "celeba", "CelebA's official, identity-disjoint partition"
    tenth = max(len(files) // 10, 2)
    splits = files[: -2 * tenth], files[-2 * tenth : -tenth], files[-tenth:]
    return splits, folder.name, "split by file name; the same person may stand on both sides"


def attributes(source=None, profile=None):
    """CelebA's 40 attributes of the test images, in the order of `load(source, profile).test`.

    They come from `list_attr_celeba.csv` (Kaggle) or `.txt` (the authors') below the folder, which `make_shards`
    copies. Returns a dict name -> boolean array (N,); an empty one where there is no such file, as in the sample.
    Raises `ValueError` if the file does not list one of the test images.
    """
    source, profile = source or runtime.data_source(), profile or runtime.profile()
    if source == "sample":
        return {}
    folder = find_celeba() if source == "celeba" else pathlib.Path(source).expanduser().resolve()
    found = next(iter(sorted(folder.rglob("list_attr_celeba.*"))), None)
    if found is None or not (is_shards(folder) or any(folder.rglob("list_eval_partition.*"))):
        return {}
    table, header = {}, []
    for line in found.read_text().splitlines():
        fields = line.replace(",", " ").split()
        if "Eyeglasses" in fields:
            header = [field for field in fields if field != "image_id"]
        elif header and len(fields) == len(header) + 1:
            table[fields[0]] = [field == "1" for field in fields[1:]]
    if is_shards(folder):
        test = [name for shard in _read_index(folder)["shards"] if shard["split"] == "test" for name in shard["names"]]
    else:
        test = [path.name for path in _split_folder(folder)[0][2]]
    test = test[: profile.held_out_images]
    unlisted = [name for name in test if name not in table]
    if unlisted:
        raise ValueError(f"{found.name} does not list {len(unlisted)} of the test images, the first is {unlisted[0]}")
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
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_faces(target, files)
        except OSError as error:
            raise OSError(
                f"cannot keep the prepared faces in {target.parent} ({error.strerror}); they need "
                f"{len(files) * HR_SIZE**2 * 3 / 1e6:,.0f} MB. Set SRLIB_HOME to a folder with that much space"
            ) from error
    return np.load(target, mmap_mode="r")


def _write_faces(target, files):
    """Write the faces of image files as one `.npy`, complete or not at all; returns the SHA-256 of the file."""
    header, digest = io.BytesIO(), hashlib.sha256()
    shape = (len(files), HR_SIZE, HR_SIZE, 3)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with runtime.replacing(target) as file:  # not a memory map: on a full disk, that ends the process
        for block in itertools.chain([header.getvalue()], (face.tobytes() for face in _faces(files))):
            file.write(block)
            digest.update(block)
    return digest.hexdigest()


def _faces(files):
    """The faces of image files, in order, decoded by several threads; all broken files are named at the end."""
    broken = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for first in range(0, len(files), 256):  # not all at once: where the disk is slow, the faces would wait in memory
            for face in pool.map(_read_face, files[first : first + 256]):
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


# --- prepared shards -------------------------------------------------------------------------------


class Shards:
    """Images in several files, read like one uint8 array (N, H, W, 3): `len`, `shape`, `[...]`, `np.asarray`.

    parts: arrays (n_i, H, W, 3), usually memory-mapped. Only the images that are asked for are read and copied,
    so that ten gigabytes on the disk stay there.
    """

    ndim, dtype = 4, np.dtype("uint8")

    def __init__(self, parts):
        self.parts = list(parts)
        self.ends = np.cumsum([len(part) for part in self.parts])
        self.shape = (int(self.ends[-1]), *self.parts[0].shape[1:])

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        """Like an array's: an integer, a slice, a mask or integers along the first axis, and more behind a comma."""
        first, *others = index if isinstance(index, tuple) else (index,)
        if first is Ellipsis:
            first, others = slice(None), [Ellipsis, *others]
        rows = np.arange(len(self))[first]  # NumPy's own rules, and its own errors
        numbers = np.searchsorted(self.ends, rows, side="right")  # of the part where each row lies
        if rows.ndim == 0:
            images = self.parts[numbers][rows - self.ends[numbers]]  # counted from the end of its part
        else:
            images = np.empty((*rows.shape, *self.shape[1:]), self.dtype)
            for number in np.unique(numbers):
                here = numbers == number
                images[here] = self.parts[number][rows[here] - self.ends[number]]
        return images[(slice(None),) * rows.ndim + tuple(others)] if others else images

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype)


def make_shards(source, folder, train=None, held_out=None, shard=SHARD, report=print):
    """Turn photos into a set of shards in `folder`: `.npy` files of uint8 faces and `index.json`; returns the index.

    source: `celeba` or a folder, as in `load`. train, held_out: how many images to take for training, and for
    validation and testing each (None: all). shard: faces a file. The pixels are those that `load(source)` gives,
    bit for bit: a second JPEG compression would cost 44 dB at quality 95. The index holds the partition, the
    file names, the terms and the SHA-256 of every shard.

    Killed halfway, it goes on when called again: shards that match their checksum are kept, all others are made
    anew. `index.json` appears when the last shard is complete; until then, `load` refuses the set. Needs the memory
    of one shard. Raises `ValueError` for broken images (by name) or a folder that holds another set, and
    `OSError` for a full disk.
    """
    for what, limit in (("train", train), ("held_out", held_out)):
        if limit is not None and limit < 1:
            raise ValueError(f"{what} is {limit}; expected at least 1, or None for all")
    if source == "sample" or is_shards(source):
        raise ValueError(f"source is {str(source)!r}, which is prepared already; expected 'celeba' or a folder of photos")
    root = find_celeba() if source == "celeba" else pathlib.Path(source).expanduser().resolve()
    if not root.is_dir():
        raise FileNotFoundError(f"no folder of photos at {root}")
    splits, name, rule = _split_folder(root)
    chosen = dict(zip(SPLITS, (split[:limit] for split, limit in zip(splits, (train, held_out, held_out)))))
    folder = pathlib.Path(folder).expanduser().resolve()
    if folder == root or root in folder.parents:
        raise ValueError(f"the folder {folder} lies in the source; its files would be taken for photos: choose another one")
    stamp = hashlib.sha256(f"{HR_SIZE} {shard}\n".encode())
    for split, files in chosen.items():
        for path in files:
            stamp.update(f"{split} {path.relative_to(root).as_posix()} {path.stat().st_size}\n".encode())
    index = {"format": "srlib shards 1", "name": name, "rule": rule}
    index |= {"terms": CELEBA_TERMS if name == "celeba" else "those of the photos that it was made from"}
    index |= {"images": {split: len(files) for split, files in chosen.items()}, "source": stamp.hexdigest(), "shards": []}
    known = _known_shards(folder, index["source"])
    start, made = time.perf_counter(), 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.[0-9]*.partial"):  # of a call that was killed
            leftover.unlink()
        for split, files in chosen.items():
            for number, first in enumerate(range(0, len(files), shard)):
                part = files[first : first + shard]
                target = folder / f"{split}-{number:04d}.npy"
                digest = known.get(target.name)
                if digest is None or _sha256(target) != digest:
                    digest, made = _write_faces(target, part), made + len(part)
                    report(f"{target.name}: {len(part):,} faces, {made / (time.perf_counter() - start):,.0f} a second")
                else:
                    report(f"{target.name}: verified")
                entry = {"file": target.name, "split": split, "bytes": target.stat().st_size, "sha256": digest}
                index["shards"].append(entry | {"names": [path.name for path in part]})
                known[target.name] = digest
                ahead = [{"file": name, "sha256": digest} for name, digest in known.items()]  # also those not looked at yet
                _write_text(folder / UNFINISHED, _index_text(index | {"shards": ahead}))
        for path in sorted(root.rglob("list_attr_celeba.*"))[:1]:
            shutil.copyfile(path, folder / path.name)
        if not (folder / "README.txt").exists():  # one of yours stays; ours depends on the source alone
            _write_text(folder / "README.txt", _shards_readme(index))
        _write_text(folder / "index.json", _index_text(index))
        (folder / UNFINISHED).unlink()
    except OSError as error:
        need = sum(map(len, chosen.values())) * HR_SIZE**2 * 3 / 1e6
        raise OSError(f"cannot write the shards to {folder} ({error.strerror}); the set needs {need:,.0f} MB") from error
    return index


def _known_shards(folder, source):
    """File name -> SHA-256 of the shards that an earlier call has made of the same source."""
    for name in (UNFINISHED, "index.json"):
        if (folder / name).exists():
            try:
                index = json.loads((folder / name).read_text())
            except ValueError as error:
                raise ValueError(f"{folder / name} is damaged ({error}); delete it, and the shards are made anew") from error
            if index.get("source") != source:
                raise ValueError(f"{folder} holds shards of another source or choice of images; give an empty folder")
            return {shard["file"]: shard["sha256"] for shard in index["shards"]}
    return {}


def _write_text(path, text):
    with runtime.replacing(path, "w") as file:
        file.write(text)


def _index_text(index):
    """JSON with one shard a line."""
    head = json.dumps({key: value for key, value in index.items() if key != "shards"}, indent=1)
    return head[:-2] + ',\n "shards": [\n' + ",\n".join(json.dumps(shard) for shard in index["shards"]) + "\n ]\n}\n"


def _shards_readme(index):
    counts = ", ".join(f"{count:,} {split}" for split, count in index["images"].items())
    return (
        f"Faces of {index['name']}, {HR_SIZE}x{HR_SIZE}, uint8 RGB: {counts}; {index['rule']}.\n"
        "Every shard is a NumPy file: numpy.load('train-0000.npy', mmap_mode='r'). index.json has the checksums.\n"
        "Set SRLIB_DATA to this folder; python -m srlib.data FOLDER verifies it.\n"
        f"Terms: {index['terms']}\n"
    )


def _sha256(path):
    """SHA-256 of a file, in blocks of 1 MB; None if there is no such file."""
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_shards(source):
    """Whether `source` is a folder that `make_shards` has filled, or has begun to fill."""
    if source in ("sample", "celeba"):
        return False
    folder = pathlib.Path(source).expanduser()
    try:
        return (folder / UNFINISHED).is_file() or '"srlib shards 1"' in (folder / "index.json").read_text()[:99]
    except (OSError, UnicodeDecodeError):
        return False


def _read_index(folder):
    folder = pathlib.Path(folder).expanduser()
    if not (folder / "index.json").is_file():
        raise ValueError(f"the shards in {folder} are unfinished; run `python -m srlib.data SOURCE {folder}` again: it goes on")
    try:
        return json.loads((folder / "index.json").read_text())
    except ValueError as error:
        raise ValueError(f"{folder / 'index.json'} is damaged ({error}); copy it again") from error


def read_shards(folder, profile=None, worker=0, workers=1):
    """Read a set of shards as `Photos`, memory-mapped: the same pixels as the folder that it was made from.

    profile: limits how many images are taken; shards that are not needed are not opened. worker, workers: of the
    training images, number `worker` of `workers` gets every `workers`-th shard (where there are fewer shards than
    workers, every `workers`-th image). The SHA-256 of each shard is compared with the index before it is used.
    Raises `ValueError` for a set that is not finished, and for damaged or missing shards, by name.
    """
    folder = pathlib.Path(folder).expanduser().resolve()
    profile = profile or runtime.profile()
    index = _read_index(folder)
    wanted = {}
    for split, limit in zip(SPLITS, (profile.train_images, profile.held_out_images, profile.held_out_images)):
        shards = [(shard, len(shard["names"])) for shard in index["shards"] if shard["split"] == split]
        before = itertools.accumulate((count for _, count in shards), initial=0)
        taken = [(shard, count if limit is None else min(count, limit - start)) for (shard, count), start in zip(shards, before)]
        wanted[split] = [(shard, count) for shard, count in taken if count > 0]
    enough = len(wanted["train"]) >= workers
    if enough:
        wanted["train"] = wanted["train"][worker::workers]
    verify_shards(folder, [shard for shards in wanted.values() for shard, _ in shards])
    arrays = []
    for split, shards in wanted.items():
        parts = [np.load(folder / shard["file"], mmap_mode="r")[:count] for shard, count in shards]
        if split == "train" and not enough:
            parts = [part[worker::workers] for part in parts]
        arrays.append(parts[0] if len(parts) == 1 else Shards(parts))
    return _photos(index["name"], arrays, index["rule"])


def verify_shards(folder, shards=None):
    """Compare shards with the SHA-256 in their index; raises `ValueError` that names those that differ.

    shards: entries of the index (default: all). Returns the number of bytes read.
    """
    folder = pathlib.Path(folder).expanduser().resolve()
    shards = _read_index(folder)["shards"] if shards is None else shards

    def state(shard):
        path = folder / shard["file"]
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            return "missing"
        if size != shard["bytes"]:
            return f"{size:,} of {shard['bytes']:,} bytes long"
        return None if _sha256(path) == shard["sha256"] else "damaged (its SHA-256 differs)"

    with concurrent.futures.ThreadPoolExecutor() as pool:
        bad = [f"{shard['file']} is {what}" for shard, what in zip(shards, pool.map(state, shards)) if what]
    if bad:
        more = f" ... and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise ValueError(
            f"{len(bad)} of {len(shards)} shards in {folder} cannot be used: {'; '.join(bad[:5])}{more}. Copy them again, "
            f"or run `python -m srlib.data SOURCE {folder}`, which makes only these anew"
        )
    return sum(shard["bytes"] for shard in shards)


# --- batches ---------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=2)
def epoch_order(count, epoch, seed=0):
    """The order in which an epoch visits `count` images: a permutation that depends on nothing else."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def batch_at(pixels, step, batch, seed=0, flip=True, patch=HR_SIZE):
    """The training batch of one step, as a pure function of (seed, step): (lr, hr), float32 in [0, 1].

    pixels: uint8 (N, 128, 128, 3). Every epoch visits each image once, in a new order; half of the
    images are mirrored. patch: side of a random HR crop, a multiple of 4 (128: the whole face),
    whose corner may be any pixel.
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


# --- command line ----------------------------------------------------------------------------------


def main(arguments=None):
    """The command `python -m srlib.data`: makes a set of shards, or goes on, or verifies one."""
    parser = argparse.ArgumentParser(prog="python -m srlib.data", description="Turn photos into prepared shards, or verify them.")
    parser.add_argument("source", help="'celeba', a folder of photos; or, without FOLDER, a set of shards to verify")
    parser.add_argument("folder", nargs="?", help="where the shards go; run again to go on after an interruption")
    parser.add_argument("--train", type=int, help="training images to take (default: all)")
    parser.add_argument("--held-out", type=int, help="validation images to take, and as many test images (default: all)")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    try:
        if options.folder:
            make_shards(options.source, options.folder, options.train, options.held_out)
        size = verify_shards(options.folder or options.source)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    print(f"{size / 1e6:,.0f} MB verified; {time.perf_counter() - start:.0f} s, peak memory {runtime.peak_memory():,.0f} MB")


if __name__ == "__main__":
    main()
