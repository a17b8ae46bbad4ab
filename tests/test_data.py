"""Resampling against Pillow, the degradation, reading of every kind of file, and the three sources."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from srlib import data, runtime

SMOKE = runtime.PROFILES["smoke"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# --- resampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel, pillow", [("nearest", 0), ("bilinear", 2), ("bicubic", 3), ("lanczos", 1)])
def test_enlarging_equals_pillow(rng, kernel, pillow):
    image = rng.random((32, 40, 3), dtype="float32")
    ours = data.resize(image, (128, 160), kernel)
    theirs = [np.asarray(Image.fromarray(image[..., c]).resize((160, 128), pillow)) for c in range(3)]
    np.testing.assert_allclose(ours, np.stack(theirs, -1), atol=1e-5)


@pytest.mark.parametrize("kernel, pillow", [("bilinear", 2), ("bicubic", 3), ("lanczos", 1)])
def test_antialiased_shrinking_equals_pillow(rng, kernel, pillow):
    image = rng.random((128, 96, 3), dtype="float32")
    ours = data.resize(image, (32, 24), kernel)
    theirs = [np.asarray(Image.fromarray(image[..., c]).resize((24, 32), pillow)) for c in range(3)]
    np.testing.assert_allclose(ours, np.stack(theirs, -1), atol=1e-5)


def test_antialias_matters(rng):
    image = rng.random((128, 128, 3), dtype="float32")
    with_it, without = data.resize(image, (32, 32)), data.resize(image, (32, 32), antialias=False)
    assert np.abs(with_it - without).max() > 0.2


def test_degrade_is_antialiased_bicubic_on_the_8_bit_grid():
    hr = data.to_float(data.portraits())
    lr = data.degrade(hr)
    assert lr.shape == (2, 32, 32, 3) and lr.dtype == np.float32
    np.testing.assert_array_equal(lr, data.to_float(data.to_uint8(lr)))
    exact = data.resize(hr, (32, 32), "bicubic", antialias=True)
    assert np.abs(lr - np.clip(exact, 0, 1)).max() <= 0.5 / 255 + 1e-6


def test_one_image_and_a_batch_degrade_alike():
    hr = data.to_float(data.portraits())
    np.testing.assert_array_equal(data.degrade(hr)[1], data.degrade(hr[1]))


@pytest.mark.parametrize(
    "bad, words",
    [
        (np.zeros((8, 8, 3), "uint8"), "to_float"),
        (np.zeros((8, 8, 3)) + 200.0, "divide by 255"),
        (np.zeros((8, 8, 3)) - 0.5, "(x + 1) / 2"),
        (np.full((8, 8, 3), np.nan), "expected [0, 1]"),
        (np.zeros((8, 8, 4)), "expected RGB"),
        (np.zeros((8, 8)), "expected RGB"),
        (np.zeros((0, 8, 8, 3)), "no pixels"),
        (np.zeros((10, 8, 3)), "multiples of 4"),
    ],
)
def test_degrade_refuses_bad_input_and_says_what_to_do(bad, words):
    with pytest.raises(ValueError) as error:
        data.degrade(bad)
    assert words in str(error.value)


def test_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="bicubic"):
        data.resize(np.zeros((8, 8, 3)), (4, 4), "sinc")


# --- reading ---------------------------------------------------------------------------------------


def gradient(height=140, width=150):
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, (x + y) // 2], -1).astype("uint8")


def test_rgb_is_read_as_it_is(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    np.testing.assert_array_equal(data.read_image(tmp_path / "a.png"), gradient())


def test_grey_becomes_rgb(tmp_path):
    Image.fromarray(gradient()[..., 0]).save(tmp_path / "a.png")
    image = data.read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image[..., 2], gradient()[..., 0])


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((8, 8, 4), "uint8")
    rgba[:4, :, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    image = data.read_image(tmp_path / "a.png")
    assert image[0, 0].tolist() == [0, 0, 0] and image[7, 0].tolist() == [255, 255, 255]


def test_palette_and_cmyk_are_converted(tmp_path):
    Image.fromarray(gradient()).quantize(64).save(tmp_path / "palette.png")
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    assert data.read_image(tmp_path / "palette.png").shape == (140, 150, 3)
    red = data.read_image(tmp_path / "cmyk.jpg")[8, 8]
    assert red[0] > 200 and red[1] < 60


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    Image.fromarray((gradient()[..., 0].astype("uint16") * 257)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(data.read_image(tmp_path / "a.png")[..., 0], gradient()[..., 0])


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees
    Image.fromarray(gradient()).save(tmp_path / "a.jpg", exif=exif)
    assert data.read_image(tmp_path / "a.jpg").shape == (150, 140, 3)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_turned_tiff_without_compression_is_read_as_it_is(mode, orientation, tmp_path):
    """Pillow maps such a file into memory if it gets a path, with width and height exchanged too early."""
    levels = np.arange(140 * 150).reshape(140, 150)
    picture = Image.fromarray(levels.astype("uint16")) if mode == "I;16" else Image.fromarray((levels // 90).astype("uint8")).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "turned.tiff", exif=exif)
    straight = levels / 257 if mode == "I;16" else levels // 90
    expected = np.rot90(straight, {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
    np.testing.assert_allclose(data.read_image(tmp_path / "turned.tiff")[..., 1], expected, atol=1)


def test_levels_of_unknown_range_are_refused(tmp_path):
    Image.fromarray(np.zeros((140, 150), "int32")).save(tmp_path / "deep.tiff")
    with pytest.raises(ValueError, match="deep.tiff: it holds 32-bit levels of unknown range"):
        data.read_image(tmp_path / "deep.tiff")
    grey = Image.fromarray(np.full((140, 150), 60_000, "uint16"))
    grey.save(tmp_path / "negative.tiff", tiffinfo={262: 0})  # white is 0: Pillow would return it black for white
    with pytest.raises(ValueError, match="white as 0"):
        data.read_image(tmp_path / "negative.tiff")


def test_reading_photos_leaves_the_warnings_as_they_are(tmp_path):
    """In a new interpreter, with threads: the warnings of a learner's own code must still appear."""
    for index in range(40):
        Image.fromarray(gradient()).save(tmp_path / f"{index:02d}.png")
    code = f"""
import pathlib, warnings
from srlib import data
before = list(warnings.filters)
for _ in range(5):
    list(data._faces(sorted(pathlib.Path({str(tmp_path)!r}).iterdir())))
print(warnings.filters == before)
"""
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(data.__file__).parent.parent)}
    assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True) == "True\n"


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_broken_image_is_named(tmp_path, content):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(ValueError, match="broken.png"):
        data.read_image(tmp_path / "broken.png")


def test_a_truncated_image_is_named(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="half.jpg"):
        data.read_image(tmp_path / "half.jpg")


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.png: it does not exist"):
        data.read_image(tmp_path / "nowhere.png")
    with pytest.raises(FileNotFoundError, match="it is a folder"):
        data.read_image(tmp_path)
    with pytest.raises(ValueError, match="path is a ndarray"):
        data.read_image(gradient())


def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    monkeypatch.setattr(data, "MAX_PIXELS", 10_000)
    with pytest.raises(ValueError, match="150x140 pixels; the limit is 10,000"):
        data.read_image(tmp_path / "a.png")


def test_a_small_photo_is_refused_with_its_size():
    with pytest.raises(ValueError, match="100x300.*128"):
        data.face_crop(np.zeros((300, 100, 3), "uint8"))


@pytest.mark.parametrize("box", [(0, 0, 140, 130), (-1, 0, 139, 140), (20, 10, 160, 150)])
def test_a_box_that_is_no_square_inside_the_photo_is_refused(box):
    with pytest.raises(ValueError, match="expected a square .* inside 150x140"):
        data.face_crop(gradient(), box)


def test_a_photo_that_is_not_uint8_is_refused():
    with pytest.raises(ValueError, match="dtype float32.*to_uint8"):
        data.face_crop(data.to_float(gradient()))


def test_celeba_crop_is_the_central_square():
    photo = np.zeros((218, 178, 3), "uint8")
    photo[20:198] = 200
    np.testing.assert_array_equal(data.face_crop(photo), np.full((128, 128, 3), 200, "uint8"))


# --- the three sources -----------------------------------------------------------------------------


def make_celeba(root, train=12, val=4, test=4, listed=True):
    """A miniature of Kaggle's layout, drawn, with its doubled folder and the partition file beside it."""
    images = root / "img_align_celeba" / "img_align_celeba"
    images.mkdir(parents=True)
    lines = ["image_id,partition"]
    for index in range(train + val + test):
        name = f"{index + 1:06d}.jpg"
        shade = np.full((218, 178, 3), 5 * index, "uint8")
        Image.fromarray(shade).save(images / name, quality=95)
        part = 0 if index < train else 1 if index < train + val else 2
        lines.append(f"{name},{part}")
    (root / "list_eval_partition.csv").write_text("\n".join(lines if listed else lines[:-test]))
    return root


def test_sample_is_split_by_photo_and_needs_no_network():
    photos = data.load("sample", SMOKE)
    assert photos.train.shape == (24, 128, 128, 3) and photos.train.dtype == np.uint8
    assert len(photos.val) == 6
    np.testing.assert_array_equal(photos.test, data.portraits())


def test_celeba_layout_follows_the_official_partition(tmp_path):
    photos = data.load(str(make_celeba(tmp_path)), SMOKE)
    assert [len(photos.train), len(photos.val), len(photos.test)] == [12, 4, 4]
    assert photos.name == "celeba"
    assert abs(int(photos.test[0].mean()) - 5 * 16) <= 1  # the first test image has index 16


def test_a_partition_without_its_images_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="none of its test images"):
        data.load(str(make_celeba(tmp_path, listed=False)), SMOKE)


def test_any_folder_of_photos_works_and_other_files_are_ignored(tmp_path):
    for index in range(20):
        Image.fromarray(gradient() // 2 + index).save(tmp_path / f"{index:02d}.png")
    (tmp_path / "notes.txt").write_text("not a photo")
    photos = data.load(str(tmp_path), SMOKE)
    assert [len(photos.train), len(photos.val), len(photos.test)] == [16, 2, 2]
    assert "same person" in photos.description


def test_a_broken_photo_in_a_folder_is_named(tmp_path):
    for index in range(12):
        Image.fromarray(gradient()).save(tmp_path / f"{index:02d}.png")
    (tmp_path / "03.png").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="03.png"):
        data.load(str(tmp_path), SMOKE)


def test_a_small_photo_in_a_folder_is_named(tmp_path):
    for index in range(12):
        Image.fromarray(gradient()).save(tmp_path / f"{index:02d}.png")
    Image.fromarray(gradient(50, 50)).save(tmp_path / "05.png")
    with pytest.raises(ValueError, match="05.png.*50x50"):
        data.load(str(tmp_path), SMOKE)


def test_a_folder_without_images_says_what_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match="no images in .*jpg"):
        data.load(str(tmp_path), SMOKE)


def test_too_few_images_are_counted(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "one.png")
    with pytest.raises(ValueError, match="only 1 images"):
        data.load(str(tmp_path), SMOKE)


def test_an_unknown_source_names_the_choices():
    with pytest.raises(FileNotFoundError, match="'sample', 'celeba' or the path"):
        data.load("imagenet", SMOKE)


def test_celeba_without_network_offers_the_offline_ways(tmp_path, monkeypatch):
    import kagglehub

    def no_network(handle):
        raise ConnectionError("Name or service not known")

    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setattr(kagglehub, "dataset_download", no_network)
    with pytest.raises(FileNotFoundError) as error:
        data.load("celeba", SMOKE)
    for words in ("ConnectionError", "SRLIB_DATA=sample", "list_eval_partition.csv"):
        assert words in str(error.value)


def test_celeba_is_found_in_kagglehubs_cache_without_asking_the_network(tmp_path, monkeypatch):
    version = tmp_path / "datasets" / "jessicali9530" / "celeba-dataset" / "versions" / "2"
    version.mkdir(parents=True)
    make_celeba(version)
    (version.parent.parent / "2.complete").touch()
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    assert data.find_celeba() == version


def test_a_download_that_broke_off_is_taken_up_again(tmp_path, monkeypatch):
    """The network goes in the middle: kagglehub has unpacked a part, and has not put its mark beside it."""
    import kagglehub

    version = tmp_path / "datasets" / "jessicali9530" / "celeba-dataset" / "versions" / "2"
    version.mkdir(parents=True)
    make_celeba(version, train=3, val=1, test=1)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setattr(kagglehub, "dataset_download", lambda handle: (_ for _ in ()).throw(ConnectionError("reset by peer")))
    with pytest.raises(FileNotFoundError, match="reset by peer"):
        data.find_celeba()  # never the part, silently
    monkeypatch.setattr(kagglehub, "dataset_download", lambda handle: str(version))
    assert data.find_celeba() == version


def many_photos(folder, count=300):
    folder.mkdir()
    for index in range(count):
        Image.fromarray(gradient() // 2 + index % 50).save(folder / f"{index:03d}.png")
    return sorted(folder.iterdir())


def test_a_large_folder_is_prepared_once_and_again_if_the_cache_is_deleted(tmp_path, monkeypatch):
    monkeypatch.setenv("SRLIB_HOME", str(tmp_path / "home"))
    files = many_photos(tmp_path / "photos")
    first = np.array(data.prepare(files))
    with monkeypatch.context() as once:
        once.setattr(data, "_read_face", None)  # a second decoding would fail
        np.testing.assert_array_equal(first, data.prepare(files))
    assert [p.suffix for p in (tmp_path / "home" / "prepared").iterdir()] == [".npy"]
    shutil.rmtree(tmp_path / "home")
    np.testing.assert_array_equal(first, data.prepare(files))


def test_nothing_is_written_beside_the_photos(tmp_path, monkeypatch):
    """So a read-only data folder is as good as any."""
    monkeypatch.setenv("SRLIB_HOME", str(tmp_path / "home"))
    folder = tmp_path / "photos"
    many_photos(folder)
    before = [(path, path.stat().st_mtime_ns) for path in (folder, *sorted(folder.rglob("*")))]
    data.load(str(folder), runtime.PROFILES["full"])
    assert [(path, path.stat().st_mtime_ns) for path in (folder, *sorted(folder.rglob("*")))] == before


def test_a_full_disk_says_how_much_is_needed(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setenv("SRLIB_HOME", str(tmp_path / "home"))
    files = many_photos(tmp_path / "photos")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(OSError, match="they need 15 MB. Set SRLIB_HOME"):
            data.prepare(files)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "home" / "prepared").iterdir()) == []
    assert len(data.prepare(files)) == 300


# --- prepared shards -------------------------------------------------------------------------------

FULL = runtime.PROFILES["full"]
ATTRIBUTES = "image_id,Eyeglasses,Male"


@pytest.fixture
def celeba(tmp_path):
    """A miniature CelebA of noisy faces, with attributes."""
    root, rng = make_celeba(tmp_path / "celeba", train=22, val=5, test=6), np.random.default_rng(0)
    files = sorted(root.rglob("*.jpg"))
    for path in files:
        Image.fromarray(rng.integers(0, 256, (218, 178, 3), dtype="uint8")).save(path, quality=95)
    lines = [f"{path.name},{1 if index % 3 else -1},-1" for index, path in enumerate(files)]
    (root / "list_attr_celeba.csv").write_text("\n".join([ATTRIBUTES, *lines]))
    return root


def silent(line):
    pass


def make(celeba, folder, **options):
    return data.make_shards(celeba, folder, shard=8, report=silent, **options)


def test_shards_hold_the_pixels_of_the_folder_and_its_partition(celeba, tmp_path):
    index = make(celeba, tmp_path / "shards")
    folder, shards = data.load(str(celeba), FULL), data.load(str(tmp_path / "shards"), FULL)
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(folder, part), getattr(shards, part))
    assert (shards.name, shards.description) == (folder.name, folder.description)
    assert [shard["file"] for shard in index["shards"]] == ["train-0000.npy", "train-0001.npy", "train-0002.npy", "val-0000.npy", "test-0000.npy"]
    for a, b in zip(data.attributes(str(celeba), FULL).values(), data.attributes(tmp_path / "shards", FULL).values(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(data.attributes(tmp_path / "shards", FULL)["Eyeglasses"]) == 6
    assert "non-commercial research only" in index["terms"] and index["terms"] in (tmp_path / "shards" / "README.txt").read_text()


def test_your_own_readme_in_the_folder_of_the_shards_stays(celeba, tmp_path):
    (tmp_path / "README.txt").write_text("mine\n")
    make(celeba, tmp_path)
    assert (tmp_path / "README.txt").read_text() == "mine\n"


def test_a_profile_limits_shards_as_it_limits_the_folder(celeba, tmp_path):
    make(celeba, tmp_path / "shards")
    few = runtime.Profile("few", 10, 3, batch=1, steps=1, short_steps=1, blocks=1, filters=8, repeats=1)
    folder, shards = data.load(str(celeba), few), data.load(str(tmp_path / "shards"), few)
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(folder, part), getattr(shards, part))


def test_a_part_of_the_images_makes_a_smaller_set(celeba, tmp_path):
    index = make(celeba, tmp_path / "shards", train=9, held_out=4)
    assert index["images"] == {"train": 9, "val": 4, "test": 4}
    np.testing.assert_array_equal(data.load(tmp_path / "shards", FULL).train, data.load(str(celeba), FULL).train[:9])


def test_batches_from_shards_are_those_from_the_folder(celeba, tmp_path):
    make(celeba, tmp_path / "shards")
    folder, shards = data.load(str(celeba), FULL).train, data.load(tmp_path / "shards", FULL).train
    assert isinstance(shards, data.Shards)
    for (a, b), (c, d) in zip(data.batches(folder, 4, 7), data.batches(shards, 4, 7), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


INDICES = [3, -1, slice(None), slice(2, 19, 5), slice(None, None, -1), [0, 21, 8, 8], np.array([[7], [8]]), [], (slice(6, 10), 5), (9, 5, 6, 1)]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_shards_are_indexed_like_an_array(rng, index):
    array = rng.integers(0, 256, (22, 8, 8, 3), dtype="uint8")
    shards = data.Shards([array[:8], array[8:16], array[16:]])
    index = np.array(index, int) if isinstance(index, list) else index
    np.testing.assert_array_equal(shards[index], array[index], strict=True)
    np.testing.assert_array_equal(shards[np.arange(22) % 2 == 0], array[::2])
    np.testing.assert_array_equal(np.asarray(shards), array)
    assert (len(shards), shards.shape, shards.dtype, shards.ndim) == (22, array.shape, array.dtype, 4)
    with pytest.raises(IndexError):
        shards[22]


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_workers_share_the_training_images(celeba, tmp_path, workers):
    """Whole shards where there are enough of them (3 here), else every n-th image; the folder is shared too."""
    make(celeba, tmp_path / "shards")
    everything = sorted(face.tobytes() for face in data.load(str(celeba), FULL).train)
    for source in (tmp_path / "shards", celeba):
        parts = [data.load(str(source), FULL, worker, workers) for worker in range(workers)]
        assert sorted(face.tobytes() for part in parts for face in part.train) == everything
        assert all(len(part.test) == 6 for part in parts)
    with pytest.raises(ValueError, match="worker is 2 of 2"):
        data.load(str(celeba), FULL, 2, 2)


def test_a_worker_opens_its_own_shards_only(celeba, tmp_path):
    make(celeba, tmp_path / "shards")
    for number in (0, 2):
        (tmp_path / "shards" / f"train-{number:04d}.npy").unlink()
    assert len(data.load(tmp_path / "shards", FULL, 1, 3).train) == 8
    with pytest.raises(ValueError, match="train-0002.npy is missing"):
        data.load(tmp_path / "shards", FULL, 2, 3)


def damage_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage, words",
    [
        (damage_a_bit, r"train-0001.npy is damaged \(its SHA-256 differs\)"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "train-0001.npy is 5,000 of 393,344 bytes long"),
        (lambda path: path.unlink(), "train-0001.npy is missing"),
    ],
)
def test_a_damaged_shard_is_named_and_made_anew(celeba, tmp_path, damage, words):
    folder = tmp_path / "shards"
    make(celeba, folder)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    damage(folder / "train-0001.npy")
    with pytest.raises(ValueError, match=f"1 of 5 shards .* {words}. Copy them again, or run `python -m srlib.data"):
        data.load(str(folder), FULL)
    lines = []
    data.make_shards(celeba, folder, shard=8, report=lines.append)
    assert [line.split(":")[0] for line in lines if "verified" not in line] == ["train-0001.npy"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_a_killed_command_goes_on_where_it_was(celeba, tmp_path):
    """SIGKILL after the first shards; nothing half survives, what is finished is kept, the result is the same."""
    whole = make(celeba, tmp_path / "whole")
    folder = tmp_path / "shards"
    script = (
        "import sys, time; from srlib import data; read = data._read_face\n"
        "def slow(path):\n    time.sleep(0.05); return read(path)\n"
        f"data._read_face = slow; data.make_shards({str(celeba)!r}, {str(folder)!r}, shard=8)"
    )
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(data.__file__).parent.parent)}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any(folder.glob("train-0001.npy.*.partial")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)  # until the second shard is being written
    assert process.poll() is None
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()
    assert any(folder.glob("*.partial")) and not (folder / "train-0001.npy").exists()
    with pytest.raises(ValueError, match="unfinished; run `python -m srlib.data SOURCE .*` again: it goes on"):
        data.load(str(folder), FULL)
    before = (folder / "train-0000.npy").stat().st_mtime_ns
    lines = []
    index = data.make_shards(celeba, folder, shard=8, report=lines.append)
    assert lines[0] == "train-0000.npy: verified" and (folder / "train-0000.npy").stat().st_mtime_ns == before
    assert index == whole and json.loads((folder / "index.json").read_text()) == whole
    assert not any(folder.glob("*.partial")) and not (folder / data.UNFINISHED).exists()


def test_a_second_kill_loses_nothing_either(celeba, tmp_path):
    """Ended while it verifies what an earlier call has made: what it did not look at yet is still known."""
    whole, folder = make(celeba, tmp_path / "whole"), tmp_path / "shards"

    def stop_after(count):
        def report(line):
            lines.append(line)
            if len(lines) > count:
                raise KeyboardInterrupt

        return report

    for count in (2, 1):  # made three; then verified two
        lines = []
        with pytest.raises(KeyboardInterrupt):
            data.make_shards(celeba, folder, shard=4, report=stop_after(count))
    lines = []
    index = data.make_shards(celeba, folder, shard=4, report=lines.append)
    assert sum("verified" in line for line in lines) >= 2 and index["images"] == whole["images"]
    assert not (folder / data.UNFINISHED).exists()


def test_a_damaged_index_is_named(celeba, tmp_path):
    make(celeba, tmp_path / "shards")
    (tmp_path / "shards" / "mine.pdf.partial").touch()
    (tmp_path / "shards" / "index.json").write_text("{")
    with pytest.raises(ValueError, match="index.json is damaged .*; delete it, and the shards are made anew"):
        make(celeba, tmp_path / "shards")
    (tmp_path / "shards" / "index.json").unlink()
    make(celeba, tmp_path / "shards")
    assert (tmp_path / "shards" / "mine.pdf.partial").exists()  # not ours


def test_a_folder_of_other_shards_is_refused(celeba, tmp_path):
    make(celeba, tmp_path / "shards")
    with pytest.raises(ValueError, match="another source or choice"):
        make(celeba, tmp_path / "shards", train=9)
    with pytest.raises(ValueError, match="lies in the source"):
        make(celeba, celeba / "shards")
    with pytest.raises(ValueError, match="prepared already"):
        make(tmp_path / "shards", tmp_path / "again")
    with pytest.raises(FileNotFoundError, match="no folder of photos"):
        make(tmp_path / "nowhere", tmp_path / "again")


@pytest.mark.parametrize("limits", [{"train": -5}, {"held_out": 0}])
def test_a_set_without_images_is_refused(celeba, tmp_path, limits):
    with pytest.raises(ValueError, match="expected at least 1, or None for all"):
        data.make_shards(celeba, tmp_path / "shards", **limits)


def test_a_broken_photo_stops_the_shards_and_is_named(celeba, tmp_path):
    broken = sorted(celeba.rglob("*.jpg"))[12]
    whole = broken.read_bytes()
    broken.write_bytes(bytes(len(whole)))
    with pytest.raises(ValueError, match=broken.name):
        make(celeba, tmp_path / "shards")
    broken.write_bytes(whole)
    assert len(make(celeba, tmp_path / "shards")["shards"]) == 5


def test_a_full_disk_says_how_much_the_shards_need(celeba, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="the set needs 2 MB"):
            make(celeba, tmp_path / "shards")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not any((tmp_path / "shards").iterdir())


def test_the_command_makes_and_verifies_shards(celeba, tmp_path, capsys):
    data.main([str(celeba), str(tmp_path / "shards"), "--train", "9"])
    assert "train-0000.npy: 9 faces" in capsys.readouterr().out
    data.main([str(tmp_path / "shards")])
    assert "1 MB verified" in capsys.readouterr().out
    damage_a_bit(tmp_path / "shards" / "val-0000.npy")
    with pytest.raises(SystemExit, match="val-0000.npy is damaged"):
        data.main([str(tmp_path / "shards")])


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="reads the memory's kinds from /proc")
def test_shards_stay_on_the_disk(tmp_path):
    """An epoch over 197 MB of shards takes hardly any memory of the process's own; what is mapped can be dropped."""
    parts = []
    for number in range(4):
        np.save(tmp_path / f"{number}.npy", np.full((1024, 128, 128, 3), number, "uint8"))
        parts.append(np.load(tmp_path / f"{number}.npy", mmap_mode="r"))
    shards = data.Shards(parts)

    def own_megabytes():
        status = pathlib.Path("/proc/self/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) / 1024

    shards[:16]
    before, levels = own_megabytes(), 0
    for start in range(0, len(shards), 64):
        levels += int(shards[start : start + 64][:, 0, 0, 0].sum())
    assert levels == 1024 * (0 + 1 + 2 + 3)
    assert own_megabytes() - before < 20


def test_a_large_folder_prepared_before_there_were_shards_is_still_used(tmp_path, monkeypatch):
    """The name and the bytes of a prepared array: a change would make everybody prepare again."""
    monkeypatch.setenv("SRLIB_HOME", str(tmp_path / "home"))
    files = many_photos(tmp_path / "photos")
    stamp = hashlib.sha256()
    for path in files:
        stamp.update(f"{path}|{path.stat().st_size}|{path.stat().st_mtime_ns}\n".encode())
    target = tmp_path / "home" / "prepared" / f"crop128-300-{stamp.hexdigest()[:16]}.npy"
    target.parent.mkdir(parents=True)
    np.save(target, np.full((300, 128, 128, 3), 7, "uint8"))
    kept = target.read_bytes()
    assert (data.prepare(files) == 7).all()
    target.unlink()
    fresh = data.prepare(files)
    assert target.read_bytes()[:128] == kept[:128] and fresh.shape == (300, 128, 128, 3)


# --- batches ---------------------------------------------------------------------------------------


def test_an_epoch_visits_every_image_once():
    pixels = np.arange(12, dtype="uint8")[:, None, None, None] * np.ones((1, 8, 8, 3), "uint8")
    seen = [int(round(hr[0, 0, 0] * 255)) for step in range(3) for hr in data.batch_at(pixels, step, 4, patch=8)[1]]
    assert sorted(seen) == list(range(12)) and seen != list(range(12))


def test_batches_refuse_images_that_are_not_square():
    with pytest.raises(ValueError, match="expected square images"):
        data.batches(np.zeros((4, 128, 160, 3), "uint8"), 2, 1)


def test_batches_are_a_function_of_seed_and_step():
    pixels = data.portraits()
    whole = list(data.batches(pixels, 2, 5, seed=3, patch=32))
    resumed = list(data.batches(pixels, 2, 5, seed=3, start=3, patch=32))
    assert len(whole) == 5 and len(resumed) == 2
    for (a, b), (c, d) in zip(whole[3:], resumed):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    other = next(iter(data.batches(pixels, 2, 5, seed=4, patch=32)))
    assert not np.array_equal(whole[0][1], other[1])


def test_a_batch_is_a_pair_of_the_one_degradation():
    lr, hr = data.batch_at(data.portraits(), 0, 2, patch=64)
    assert lr.shape == (2, 16, 16, 3) and hr.shape == (2, 64, 64, 3)
    np.testing.assert_array_equal(lr, data.degrade(hr))


def test_crops_come_from_every_pixel_and_not_only_from_every_fourth():
    y, x = np.mgrid[:128, :128].astype(np.uint8)
    ruler = np.stack([y, x, x], -1)[None]  # every pixel states its own place
    corners = np.concatenate([data.batch_at(ruler, step, 8, flip=False, patch=120)[1][:, 0, 0, :2] for step in range(20)])
    assert set(np.rint(corners * 255).astype(int).ravel()) == set(range(9))


@pytest.mark.parametrize("arguments", [{"batch": 0}, {"batch": 2, "patch": 30}, {"batch": 2, "patch": 256}])
def test_bad_batch_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="expected"):
        data.batches(data.portraits(), steps=1, **arguments)
