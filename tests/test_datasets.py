"""Sample, CelebA and folders as people have them, split and counted; prepared sets: whole, verified, resumed."""

import dataclasses
import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import filelock
import kagglehub
import numpy as np
import pytest
from faces import flip_bit, gradient, make_celeba, save_photo, save_photos

from srlib import data, datasets, photos, runtime

SMOKE = runtime.PROFILES["smoke"]
ALL = dataclasses.replace(SMOKE, train_images=None, held_out_images=None)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SRLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def python(code, *arguments):
    """A new interpreter with the package and without a profile, started."""
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(data.__file__).parent.parent), "SRLIB_PROFILE": ""}
    words = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def read(paths):
    return np.stack([photos.face_crop(photos.read_image(path)) for path in paths])


def counts(loaded):
    return [len(getattr(loaded, split)) for split in datasets.SPLITS]


def failing(*arguments, **options):
    raise OSError(errno.EIO, "the disk fails")


# --- the sample ------------------------------------------------------------------------------------


def test_sample_is_split_by_photo_and_needs_neither_network_nor_tensorflow(monkeypatch):
    sample = datasets.load("sample", SMOKE)
    assert sample.train.shape == (24, 128, 128, 3) and sample.train.dtype == np.uint8 and len(sample.val) == 6
    np.testing.assert_array_equal(sample.test, photos.portraits())
    monkeypatch.setattr(photos, "face_crop", lambda *arguments: np.zeros(1, "uint8"))
    assert len(datasets.sample(runtime.PROFILES["full"]).train) == 4096  # however many faces a profile asks for
    code = (
        "import os, sys; from srlib import datasets, runtime; datasets.load('sample', runtime.PROFILES['smoke']); "
        "os.environ['SRLIB_PROFILE'] = 'smoke'; datasets.load('sample'); print('tensorflow' in sys.modules)"
    )
    assert python(code).communicate()[0] == "False\n"


# --- CelebA ----------------------------------------------------------------------------------------

TABLES = {  # what people's programs make of `list_eval_partition`
    "Kaggle's": ("csv", "image_id,partition\n{}", ",", "utf-8"),
    "the authors'": ("txt", "{}\n", " ", "utf-8"),
    "a European Excel's": ("csv", "image_id;partition\n{}", ";", "utf-8-sig"),
    "Excel's Unicode text": ("csv", '"image_id"\t"partition"\n{}', '"\t', "utf-16"),
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_celeba_follows_the_official_partition(table, suffix, tmp_path):
    root = make_celeba(tmp_path / "set", suffix=suffix)
    lines = (root / "list_eval_partition.csv").read_text().splitlines()[1:]
    (root / "list_eval_partition.csv").unlink()
    ending, text, comma, encoding = TABLES[table]
    text = text.format("\n".join(line.replace(",", comma) for line in lines)).replace("\n", "\r\n")
    (root / f"list_eval_partition.{ending}").write_bytes(text.encode(encoding))
    loaded = datasets.load(root, ALL)
    assert counts(loaded) == [12, 4, 4] and loaded.name == "celeba" and loaded.description.endswith("partition")
    assert [round(float(face.mean()) / 5) for face in loaded.test] == [16, 17, 18, 19]


def test_of_two_copies_one_is_taken_the_aligned_one(tmp_path):
    root = make_celeba(tmp_path / "set")
    for path in root.rglob("*.jpg"):
        save_photo(root / "img_celeba" / path.name, gradient(300, 200))
    loaded = datasets.load(root, ALL)
    assert counts(loaded) == [12, 4, 4] and float(np.ptp(loaded.train)) < 60  # no gradient
    assert "20 photos that it does not list, not aligned or copies, are left out" in loaded.description
    save_photo(root / "img_align_celeba" / "000003.png", gradient())
    loaded = datasets.load(root, ALL)
    assert (
        counts(loaded) == [12, 4, 4] and "21 photos that it does not list, not aligned or copies" in loaded.description
    )


def test_what_the_partition_misses_is_counted(tmp_path):
    root = make_celeba(tmp_path / "set", missing=(3, 4, 5))
    assert "3 of the 20 images that it lists are not here" in datasets.load(root, ALL).description
    root = make_celeba(tmp_path / "half", missing=range(16, 20))
    with pytest.raises(ValueError, match="lists 20 images, but .* 12, 4, 0 are among the 16 photos found"):
        datasets.load(root, ALL)
    (root / "list_eval_partition.csv").write_text("000001.jpg is for training")
    with pytest.raises(ValueError, match="lists 0 images.* lines like 000001.jpg,0"):
        datasets.load(root, ALL)


def test_a_folder_named_celeba_comes_before_the_network(tmp_path, monkeypatch):
    make_celeba(tmp_path / "celeba")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kagglehub, "dataset_download", None)
    assert counts(datasets.load("celeba", ALL)) == [12, 4, 4]


def test_a_copy_in_kagglehubs_cache_is_used_and_a_part_of_one_is_not(tmp_path, monkeypatch):
    """kagglehub marks what it has unpacked to the end; without a network, nothing else counts."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    version = make_celeba(tmp_path / "datasets" / datasets.CELEBA_HANDLE)
    ways = "could not be downloaded.*SRLIB_DATA=sample.*list_eval_partition.csv.*a broken download resumes"
    with pytest.raises(FileNotFoundError, match=f"(?s){ways}"):
        datasets.load("celeba", ALL)
    (version.parent.parent / "2.complete").touch()
    assert datasets.find_celeba() == version


# --- any folder of photos --------------------------------------------------------------------------


LEFTOVERS = (
    "._00.jpg", "__MACOSX/a.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", ".Trash-1000/b.jpg", "~$00.jpg",
    ".ipynb_checkpoints/00.jpg", "@eaDir/00.jpg", "00.12-abc123.partial.jpg", "$RECYCLE.BIN/c.jpg", "RECYCLER/c.jpg",
    "@Recycle/a.jpg", "@Recently-Snapshot/a.jpg", "#snapshot/a.jpg", "~snapshot/a.jpg", "FOUND.000/a.jpg",
)  # fmt: skip


def test_a_folder_as_people_have_it(tmp_path):
    """Sub- and linked folders, circles, a sync client's copies, many suffixes; nothing of a system, no photo twice."""
    folder, elsewhere = tmp_path / "photos", tmp_path / "disk2"
    mine = save_photos(folder, 8, ".jpg") + save_photos(folder / "b", 4, ".jfif") + save_photos(folder / "c", 4, ".GIF")
    mine += save_photos(folder / "d", 4, " (conflicted copy).partial.png") + save_photos(elsewhere, 6, ".ppm")
    for name, target in {folder / "linked": elsewhere, folder / "z": elsewhere, elsewhere / "circle": folder}.items():
        name.symlink_to(target)
    for name in (*LEFTOVERS, "a.HEIC", "b.heic", "notes.txt", "README", "model.h5"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no photo")
    loaded = datasets.load(folder, ALL)
    assert counts(loaded) == [22, 2, 2] and loaded.name == "photos" and "same person" in loaded.description
    assert "5 of 31 files are not photos that Pillow reads: .heic (2), " in loaded.description
    assert all(f"{kind} (1)" in loaded.description for kind in (".txt", "no suffix", ".h5"))
    np.testing.assert_array_equal(np.concatenate([loaded.train, loaded.val, loaded.test]), read(mine))


def test_broken_and_small_photos_are_named(tmp_path):
    paths = save_photos(tmp_path, 19)
    save_photo(paths[0], gradient(50, 50))
    for path in paths[1:7]:
        path.write_bytes(b"rubbish")
    with pytest.raises(ValueError) as error:
        datasets.load(tmp_path, ALL)
    first, small, *broken, last = str(error.value).splitlines()
    assert first == "7 of 15 images cannot be used:" and "00.png: the photo is 50x50" in small and "2 more" in last
    assert [line.split(":")[0][-6:] for line in broken] == ["01.png", "02.png", "03.png", "04.png"]


def test_a_folder_of_too_few_photos_says_what_was_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"only 0 photos in {tmp_path}.*Was the archive unpacked"):
        datasets.load(tmp_path, ALL)
    save_photos(tmp_path, 12, ".heic")
    save_photos(tmp_path, 9)
    with pytest.raises(ValueError, match=r"only 9 photos.* 10 are needed; 12 of 21 files .* reads: \.heic \(12\)"):
        datasets.load(tmp_path, ALL)
    with pytest.raises(FileNotFoundError, match="'imagenet' is not a folder here; .*'celeba'.*'sample'"):
        datasets.load("imagenet", ALL)


def test_a_drive_that_fails_drops_no_photo(tmp_path, monkeypatch):
    save_photos(tmp_path, 20)
    for place, name, words in (
        (photos, "open", r"00.png \(the disk fails\): its drive"),
        (pathlib.Path, "iterdir", "fails"),
    ):
        monkeypatch.setattr(place, name, failing, raising=False)
        with pytest.raises(OSError, match=words):
            datasets.load(tmp_path, ALL)


def test_a_folder_is_prepared_once_in_the_cache_and_again_when_it_changes(cache, tmp_path, monkeypatch):
    paths = save_photos(tmp_path / "photos", 20, ".bmp")  # whose sizes are equal
    before = [(path, path.stat().st_mtime_ns) for path in (tmp_path / "photos", *paths)]
    first = datasets.load(tmp_path / "photos", ALL)
    with monkeypatch.context() as once:
        once.setattr(photos, "read_image", None)
        np.testing.assert_array_equal(datasets.load(tmp_path / "photos", ALL).train, first.train)
    assert [(path, path.stat().st_mtime_ns) for path in (tmp_path / "photos", *paths)] == before  # nothing beside them
    save_photo(paths[0], gradient())
    assert not np.array_equal(datasets.load(tmp_path / "photos", ALL).train[0], first.train[0])
    assert len(list(cache.glob("faces-*/names.json"))) == 2
    np.testing.assert_array_equal(first.train[1:], read(paths[1:16]))
    (tmp_path / "photos" / "new.heic").touch()
    assert ".heic (1)" in datasets.load(tmp_path / "photos", ALL).description  # not what was left out before


def test_a_cache_without_locks_is_used_without(cache, tmp_path, monkeypatch):
    save_photos(tmp_path / "photos", 20)
    monkeypatch.setattr(filelock.FileLock, "acquire", failing)
    assert counts(datasets.load(tmp_path / "photos", ALL)) == [16, 2, 2]


def test_a_full_disk_leaves_no_half(cache, tmp_path, monkeypatch):
    save_photos(tmp_path / "photos", 20)
    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", failing)
    with pytest.raises(OSError, match="the disk fails"):
        datasets.load(tmp_path / "photos", ALL)
    assert not list(cache.glob("faces-*"))
    monkeypatch.undo()
    assert counts(datasets.load(tmp_path / "photos", ALL)) == [16, 2, 2]


# --- prepared sets ---------------------------------------------------------------------------------


def test_a_prepared_set_holds_the_pixels_of_its_source(tmp_path):
    root = make_celeba(tmp_path / "set", (22, 5, 6))
    index = datasets.prepare(root, tmp_path / "prepared")
    for profile in (ALL, dataclasses.replace(ALL, train_images=9, held_out_images=3)):
        folder, prepared = datasets.load(root, profile), datasets.load(tmp_path / "prepared", profile)
        np.testing.assert_equal(dataclasses.asdict(prepared), dataclasses.asdict(folder))
    np.testing.assert_array_equal(np.load(tmp_path / "prepared" / "test.npy"), read(sorted(root.rglob("*.jpg"))[27:]))
    assert "non-commercial research only" in index["terms"] and index["names"]["val"][0] == "000023.jpg"
    batches = [data.batch_at(faces, 2, 4) for faces in (prepared.train, np.array(prepared.train))]
    np.testing.assert_equal(*batches)  # a mapped array is as good as one in memory
    fewer = datasets.prepare(root, tmp_path / "fewer", train=9, held_out=4)
    assert [len(fewer["names"][split]) for split in datasets.SPLITS] == [9, 4, 4]


@pytest.fixture
def prepared(tmp_path):
    save_photos(tmp_path / "photos", 20)
    datasets.prepare(tmp_path / "photos", tmp_path / "prepared")
    return tmp_path / "prepared"


def cut(path):
    path.write_bytes(path.read_bytes()[:-500])


@pytest.mark.parametrize("call", [datasets.load, datasets.verify])
@pytest.mark.parametrize("name", ["train.npy", "test.npy", "names.json"])
@pytest.mark.parametrize("damage", [flip_bit, cut])
def test_a_damaged_set_is_refused_by_name(name, damage, call, prepared):
    damage(prepared / name)
    with pytest.raises(
        ValueError, match=f"{name} is damaged.* [cC]opy it again, or delete .*prepared and prepare it anew"
    ):
        call(prepared)


def test_the_content_of_large_files_is_compared_on_request(prepared, monkeypatch):
    monkeypatch.setattr(datasets, "CHEAP", 200_000)
    flip_bit(prepared / "train.npy")
    assert counts(datasets.load(prepared, ALL)) == [16, 2, 2]
    with pytest.raises(ValueError, match="train.npy is damaged"):
        datasets.verify(prepared)


def test_other_things_in_the_folder_are_neither_taken_nor_overwritten(prepared):
    source = prepared.parent / "photos"
    with pytest.raises(ValueError, match="prepared exists, and is no set of these faces; name a new folder"):
        datasets.prepare(source, prepared, train=9)
    (prepared / "names.json").unlink()
    with pytest.raises(ValueError, match="name a new folder"):
        datasets.prepare(source, prepared)  # over a train.npy of somebody's
    (source / "names.json").write_text('{"00.png": "Ada"}')  # of a folder of photos
    assert counts(datasets.load(source, ALL)) == [16, 2, 2]


@pytest.mark.parametrize("limits", [{"train": -5}, {"held_out": 0}])
def test_a_set_without_images_is_refused(limits, tmp_path):
    with pytest.raises(ValueError, match="expected at least 1, or None for all"):
        datasets.prepare(tmp_path, tmp_path / "prepared", **limits)


SLOWLY = """
import sys, time; from srlib import datasets, photos; read = photos.read_image
def slow(path):
    time.sleep(float(sys.argv[3]) * (path.name == "16.png")); return read(path)  # the first of `val`
photos.read_image = slow; datasets.prepare(*sys.argv[1:3])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_preparation_begins_anew_and_two_at_once_end_well(tmp_path, prepared):
    """SIGKILL while the second file is written; then two processes at once: one works, the other one waits."""
    folder, whole = tmp_path / "killed", {path.name: path.read_bytes() for path in prepared.iterdir()}
    process, deadline = python(SLOWLY, tmp_path / "photos", folder, 100), time.monotonic() + 60
    while not (tmp_path / "killed.partial" / "val.npy").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL and (tmp_path / "killed.partial" / "val.npy").exists()
    with pytest.raises(FileNotFoundError, match="killed' is not a folder here"):
        datasets.load(folder, ALL)
    both = [python(SLOWLY, tmp_path / "photos", folder, 0.5) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert not (tmp_path / "killed.partial").exists()
