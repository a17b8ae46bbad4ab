"""Three sources of faces, sample, CelebA or a folder, split for training, validation and testing; and the prepared set.

A prepared set is a folder with the cut faces of a source: `train.npy`, `val.npy` and `test.npy`, each uint8
(N, 128, 128, 3), and `names.json`, which says where they come from. Taught in chapters 01 and 06.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import pathlib
import re
import shutil
import time

import numpy as np

from . import data, photos, runtime

CELEBA_HANDLE = "jessicali9530/celeba-dataset/versions/2"  # with its version, kagglehub needs no network for a copy
CELEBA_TERMS = (  # in our words; theirs count
    "CelebA (Liu, Luo, Wang and Tang 2015; mmlab.ie.cuhk.edu.hk/projects/CelebA.html): for non-commercial research "
    "only. No image, part or derived picture may be copied on, published or distributed, except copies for internal "
    "use at a single site within the same organization. Read the agreement on that page before you copy this set."
)
SPLITS = ("train", "val", "test")
FEWEST_IMAGES = 10
CHEAP = 100_000_000  # `load` compares the SHA-256 of files up to so many bytes: a tenth of a second
FORMAT = "srlib faces 1"
LEFTOVERS = re.compile(  # what systems and sync clients leave in a folder: whatever is hidden, and some more
    r"\..+|~\$.*|__MACOSX|thumbs\.db|ehthumbs.*\.db|desktop\.ini|[@#](eaDir|recycle|recently-snapshot|snapshot|tmp)|"
    r"\$recycle\.bin|recycler|~snapshot|found\.\d+|lost(\.dir|\+found)|network trash folder|temporary items|"
    r"system volume information|__pycache__|.*\.\d+-[0-9a-f]{6}\.partial(\..*)?",  # the last: of `runtime.replacing`
    re.IGNORECASE,
)


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

    source: `sample` (photos inside scikit-image and matplotlib), `celeba` (Kaggle's copy, found or downloaded by
    kagglehub; a folder of that name here comes first) or a folder: a prepared set, one in CelebA's layout, or any
    folder of photos. Default: `runtime.data_source()`. profile: the `runtime.Profile` that limits how many images are
    taken. Default: `runtime.profile()`, which imports TensorFlow to ask for a GPU unless `SRLIB_PROFILE` is set;
    nothing else here does.

    CelebA's layout is a file `list_eval_partition.csv` (or `.txt`) and the images, at any depth; where some lie below
    `img_align_celeba`, only these are taken. Photos without such a file are split by name, in sorted order: the last
    tenth is for testing, the tenth before for validation. The description counts what is left out.

    A folder of photos is prepared once, in `runtime.cache()`, and again when a file has changed; nothing is written
    beside the photos. Prepared sets are memory-mapped. Here, their sizes are compared with `names.json`, and the
    SHA-256 of files up to `CHEAP` bytes; `verify` compares that of all.

    Raises `FileNotFoundError` without images; `ValueError` for broken ones, by name, fewer than 10, a partition that
    does not fit, or a damaged set; `OSError` for a drive that fails or is full.
    """
    source, profile = source or runtime.data_source(), profile or runtime.profile()
    if source == "sample":
        return sample(profile)
    folder, limits = _find(source), (profile.train_images, profile.held_out_images, profile.held_out_images)
    index = _read_index(folder)
    if not index:
        index, files = _plan(folder, limits)
        folder = runtime.cache() / f"faces-{index['source'][:16]}"
        if not _read_index(folder):
            _fill(folder, index, files)
    verify(folder, CHEAP)
    arrays = [np.load(folder / f"{split}.npy", mmap_mode="r")[:limit] for split, limit in zip(SPLITS, limits)]
    counts = "{:,} / {:,} / {:,} images for training / validation / testing".format(*map(len, arrays))
    return Photos(index["name"], *arrays, f"{counts}, {index['rule']}")


def sample(profile=None):
    """Crops from the photographs that scikit-image ships, split by photo; the portraits are the test set."""
    import skimage.data as ours

    profile = profile or runtime.profile()
    scenes = [ours.coffee(), ours.rocket(), ours.hubble_deep_field(), ours.retina(), ours.immunohistochemistry()]
    train = _random_crops(scenes, min(profile.train_images or 4096, 4096), seed=1)
    val = _random_crops([ours.chelsea()], min(profile.held_out_images or 64, 64), seed=2)
    text = f"{len(train)} crops of 5 scenes for training, {len(val)} crops of a cat for validation"
    return Photos("sample", train, val, photos.portraits(), f"{text}, 2 portraits for testing")


def _random_crops(scenes, count, seed):
    rng, crops = np.random.default_rng(seed), []
    for index in range(count):
        scene = scenes[index % len(scenes)]
        side = int(rng.integers(data.HR_SIZE, min(*scene.shape[:2], 3 * data.HR_SIZE) + 1))
        left, upper = (int(rng.integers(0, size - side + 1)) for size in scene.shape[1::-1])
        crops.append(photos.face_crop(scene, (left, upper, left + side, upper + side)))
    return np.stack(crops)


def _find(source):
    """The folder of a source."""
    folder = pathlib.Path(source).expanduser().resolve()
    folder = find_celeba() if source == "celeba" and not folder.is_dir() else folder
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{str(source)!r} is not a folder here; give the path of a folder of photos, 'celeba', or, to load what "
            "needs no preparation, 'sample'"
        )
    return folder


def find_celeba():
    """Folder of the CelebA data set: a Kaggle mount, kagglehub's cache, or a download of 1.4 GB.

    Raises `FileNotFoundError` that lists the ways without a network when it cannot be had.
    """
    for partition in sorted(pathlib.Path("/kaggle/input").rglob("list_eval_partition.*")):
        return partition.parent
    try:
        import kagglehub

        return pathlib.Path(kagglehub.dataset_download(CELEBA_HANDLE))
    except Exception as error:  # kagglehub raises requests', OS and its own errors
        raise FileNotFoundError(
            f"CelebA could not be downloaded ({type(error).__name__}: {str(error)[:200]}).\n"
            "To go on, choose one:\n"
            "  1. without a network: set SRLIB_DATA=sample (photos that are already installed);\n"
            "  2. with a copy: unpack kaggle.com/datasets/jessicali9530/celeba-dataset anywhere and set\n"
            "     SRLIB_DATA to its folder (the one that holds list_eval_partition.csv);\n"
            "  3. with a network: try again; a broken download resumes."
        ) from error


def _walk(folder, seen):
    """The files below a folder, in sorted order, through links; no folder twice (`seen`: a set), and no `LEFTOVERS`."""
    if (real := folder.resolve()) not in seen:
        seen.add(real)
        for path in sorted(folder.iterdir(), key=lambda path: path.name):
            if LEFTOVERS.fullmatch(path.name) is None:
                yield from _walk(path, seen) if path.is_dir() else [path]


def photo_files(folder):
    """The photos below a folder, by their suffix, in sorted order; all files there; and words about the others.

    Returns two lists of paths and a string, empty if there are no others.
    """
    found, readable = list(_walk(pathlib.Path(folder), set())), photos.suffixes()
    others = collections.Counter(path.suffix.lower() for path in found if path.suffix.lower() not in readable)
    kinds = ", ".join(f"{suffix or 'no suffix'} ({count:,})" for suffix, count in others.most_common(6))
    note = f"; {others.total():,} of {len(found):,} files are not photos that Pillow reads: {kinds}" if others else ""
    return [path for path in found if path.suffix.lower() in readable], found, note


def _plan(folder, limits):
    """What a prepared set of a folder holds: its index, without any files yet, and split -> paths of the photos."""
    images, found, note = photo_files(folder)
    if len(images) < FEWEST_IMAGES:
        raise (ValueError if images else FileNotFoundError)(
            f"only {len(images)} photos in {folder} and below, and at least {FEWEST_IMAGES} are needed{note}. "
            "Was the archive unpacked, and is this the right folder?"
        )
    name, rule = folder.name, f"split by file name; the same person may stand on both sides{note}"
    tenth = max(len(images) // 10, 2)
    splits = images[: -2 * tenth], images[-2 * tenth : -tenth], images[-tenth:]
    for partition in [path for path in found if path.name.startswith("list_eval_partition")][:1]:
        name, (splits, rule) = "celeba", _official_split(images, partition)
    files = dict(zip(SPLITS, (split[:limit] for split, limit in zip(splits, limits))))
    stamp = [
        f"{split} {path.relative_to(folder).as_posix()} {(status := path.stat()).st_size} {status.st_mtime_ns}"
        for split, paths in files.items()
        for path in paths
    ]
    return {
        "name": name,
        "rule": rule,
        "terms": CELEBA_TERMS if name == "celeba" else "those of the photos that it was made from",
        "source": hashlib.sha256("\n".join(stamp).encode("utf-8", "surrogateescape")).hexdigest(),
        "files": {},
        "names": {split: [path.name for path in paths] for split, paths in files.items()},
    }, files


def _official_split(images, partition):
    """The photos that CelebA's list names, split as it says, and a sentence about the rule.

    The list may have commas, semicolons, tabs or quotes, in UTF-8 or UTF-16: whatever program wrote it.
    """
    text = partition.read_text(json.detect_encoding(partition.read_bytes()), "replace")
    wanted = dict(re.findall(r"^[\"\s]*([^\s,;\"]+)\.\w+[\",;\s]+([012])[\"\s]*$", text, re.M))
    aligned = [path for path in images if "img_align_celeba" in str(path)] or images
    listed = {path.stem: path for path in aligned if path.stem in wanted}  # there is a copy as PNG, too
    splits = [[path for stem, path in listed.items() if wanted[stem] == part] for part in "012"]
    if not all(splits):
        raise ValueError(
            f"{partition.name} lists {len(wanted):,} images, but of those for training, validation and testing "
            f"{', '.join(str(len(split)) for split in splits)} are among the {len(aligned):,} photos found. "
            "Is the download complete, and are its lines like 000001.jpg,0?"
        )
    missing, left = len(wanted) - len(listed), len(images) - len(listed)
    return splits, (
        "CelebA's official, identity-disjoint partition"
        + (f"; {missing:,} of the {len(wanted):,} images that it lists are not here" if missing else "")
        + (f"; {left:,} photos that it does not list, not aligned or copies, are left out" if left else "")
    )


def prepare(source, folder, train=None, held_out=None):
    """Write the faces of a source into `folder`, as a prepared set.

    source: `celeba` or a folder of photos, as in `load`. train, held_out: how many images to take for training, and
    for validation and testing each (None: all). The pixels are those that `load(source)` gives, bit for bit.

    The set is written beside `folder` and renamed: it is whole, or not there. Raises `ValueError` for broken images (by
    name) or a folder that holds something else, and `OSError` for a full disk. Returns what `verify` does.
    """
    if any(limit is not None and limit < 1 for limit in (train, held_out)):
        raise ValueError(f"train is {train} and held_out {held_out}; expected at least 1, or None for all")
    folder, root = pathlib.Path(folder).expanduser().resolve(), _find(source)
    _fill(folder, *_plan(root, (train, held_out, held_out)))
    return verify(folder)


def _fill(folder, index, files):
    """Make a folder the prepared set that `_plan` has described, unless it is that already."""
    partial, total = folder.with_name(f"{folder.name}.partial"), sum(map(len, files.values()))
    if total > 2000:
        runtime.say(f"preparing {total:,} faces, once, in {folder}; if another process does, this one waits")
    with runtime.locked(runtime.cache() / f"{index['source'][:16]}.lock"):
        if _read_index(folder).get("source") == index["source"]:
            return
        if folder.exists():
            raise ValueError(f"{folder} exists, and is no set of these faces; name a new folder, or delete this one")
        shutil.rmtree(partial, ignore_errors=True)  # of a call that was killed
        try:
            runtime.make_folder(partial)
            for split, paths in files.items():
                index["files"][split] = _write_faces(partial / f"{split}.npy", paths)
            rest = json.dumps(index, indent=1)[2:]  # behind the opening bracket
            head = f'{{"format": "{FORMAT}", "rest": "{hashlib.sha256(rest.encode()).hexdigest()}",\n'
            (partial / "names.json").write_text(head + rest, encoding="utf-8", newline="\n")
            runtime.patiently(lambda: partial.rename(folder))
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _write_faces(target, files):
    """Write the faces of image files as one `.npy`; returns its size and SHA-256."""
    start, shape = time.perf_counter(), (len(files), data.HR_SIZE, data.HR_SIZE, 3)
    with open(target, "wb") as file:  # not a memory map: on a full disk, that ends the process
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for count, face in enumerate(_faces(files), 1):
            file.write(face)
            if count % 2000 == 0:
                pace = count / (time.perf_counter() - start)
                runtime.say(
                    f"{target.name}: {count:,} of {len(files):,} faces, {pace:,.0f} a second, "
                    f"{(len(files) - count) / pace:,.0f} s left"
                )
    return {"bytes": target.stat().st_size, "sha256": _sha256(target)}


def _faces(files):
    """The faces of image files, in order, decoded by several threads; all broken files are named at the end."""
    broken = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for first in range(0, len(files), 256):  # not all at once: the faces would wait in memory for a slow disk
            for face in pool.map(_read_face, files[first : first + 256]):
                if isinstance(face, ValueError):
                    broken.append(str(face))
                else:
                    yield face
    if broken:
        raise ValueError(
            f"{len(broken):,} of {len(files):,} images cannot be used:\n"
            + "\n".join(broken[:5] + [f"... and {len(broken) - 5:,} more"] * (len(broken) > 5))
        )


def _read_face(path):
    """One face, or the error that its file gives, with its name."""
    try:
        return photos.face_crop(photos.read_image(path))
    except ValueError as error:
        return error if str(path) in str(error) else ValueError(f"{path}: {error}")


def verify(folder, largest=None):
    """Compare a prepared set with its `names.json`, which is returned as a dict.

    largest: bytes of a file whose SHA-256 is still compared (None: of every file); of larger ones, only the size is.
    Raises `ValueError` that names a file that is missing or damaged, and what to do.
    """
    folder = pathlib.Path(folder).expanduser().resolve()
    index = _read_index(folder)
    if not index:
        raise ValueError(f"{folder} is no prepared set; run `srlib prepare SOURCE {folder}`")
    for split, entry in index["files"].items():
        path = folder / f"{split}.npy"
        size = path.stat().st_size if path.is_file() else 0
        if size != entry["bytes"] or (size <= (largest or size) and _sha256(path) != entry["sha256"]):
            raise ValueError(
                f"{path} is damaged: {size:,} of {entry['bytes']:,} bytes are there, and its SHA-256 must be "
                f"{entry['sha256']}. Copy it again, or delete {folder} and prepare it anew"
            )
    return index


def _read_index(folder):
    """`names.json` of a prepared set as a dict; an empty one for any other folder."""
    path = folder / "names.json"  # its first line holds the SHA-256 of all that follows
    head, _, rest = (path.read_bytes() if path.is_file() else b"").partition(b"\n")
    if FORMAT.encode() not in head:
        return {}
    if hashlib.sha256(rest).hexdigest().encode() not in head:
        raise ValueError(f"{path} is damaged; copy it again, or delete {folder} and prepare it anew")
    return json.loads(b"{" + rest)


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
