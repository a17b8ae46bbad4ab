"""Resampling against Pillow, the degradation, reading of every kind of file, and the three sources."""

import shutil

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


# --- batches ---------------------------------------------------------------------------------------


def test_an_epoch_visits_every_image_once():
    pixels = np.arange(12, dtype="uint8")[:, None, None, None] * np.ones((1, 8, 8, 3), "uint8")
    seen = [int(round(hr[0, 0, 0] * 255)) for step in range(3) for hr in data.batch_at(pixels, step, 4, patch=8)[1]]
    assert sorted(seen) == list(range(12)) and seen != list(range(12))


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


@pytest.mark.parametrize("arguments", [{"batch": 0}, {"batch": 2, "patch": 30}, {"batch": 2, "patch": 256}])
def test_bad_batch_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="expected"):
        data.batches(data.portraits(), steps=1, **arguments)
