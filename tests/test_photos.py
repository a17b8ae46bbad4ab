"""Every kind of file that people have becomes an upright uint8 sRGB photo, or is refused by name."""

import errno
import io
import struct
import zlib

import numpy as np
import pytest
from faces import gradient
from PIL import Image, ImageCms

from srlib import data, photos


def read(path, picture, **options):
    picture.save(path, **options)
    return photos.read_image(path)


def oriented(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


GRADIENT = Image.fromarray(gradient())
RAMP = Image.fromarray(gradient()[..., 0])


@pytest.mark.parametrize(
    "picture, grey",
    [
        (GRADIENT, False), (GRADIENT.convert("RGBA"), False), (RAMP, True), (RAMP.convert("LA"), True),
        (RAMP.convert("P"), True), (Image.fromarray(gradient()[..., 0].astype("uint16") * 257), True),
    ],
)  # fmt: skip
def test_pixels_are_those_of_the_file(picture, grey, tmp_path):
    """Grey becomes three equal channels, 16 bits are scaled and not clipped, what is opaque stays as it is."""
    expected = gradient()[..., :1].repeat(3, -1) if grey else gradient()
    np.testing.assert_array_equal(read(tmp_path / "a.png", picture), expected)


def test_transparency_is_laid_on_white_and_the_first_frame_is_taken(tmp_path):
    rgba = np.zeros((8, 8, 4), "uint8")
    rgba[:4, :, 3] = 255
    picture = Image.fromarray(rgba)
    for transparent in (picture, picture.convert("LA"), picture.quantize(8)):
        image = read(tmp_path / "a.png", transparent)
        assert image[0, 0].tolist() == [0, 0, 0] and image[7, 0].tolist() == [255, 255, 255], transparent.mode
    frames = [Image.new("RGB", (24, 20), colour) for colour in ((200, 30, 30), (30, 200, 30))]
    for name in ("a.gif", "a.png", "a.tif"):
        assert read(tmp_path / name, frames[0], save_all=True, append_images=frames[1:])[0, 0].tolist() == [200, 30, 30]


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPG", ".gif", ".ppm", ".bmp", ".webp", ".jp2", ".tif"])
def test_what_pillow_reads_is_a_photo(suffix, tmp_path):
    assert suffix.lower() in photos.suffixes()
    kind = Image.registered_extensions()[suffix.lower()]
    assert read(tmp_path / f"a{suffix}", GRADIENT, format=kind).shape == (140, 150, 3)


def test_what_pillow_only_knows_by_name_is_no_photo():
    assert not photos.suffixes() & {".pdf", ".h5", ".mpg", ".eps", ".txt", ""}


@pytest.mark.parametrize(
    "mode, suffix", [("L", ".tiff"), ("RGB", ".tiff"), ("RGBA", ".tiff"), ("L", ".png"), ("I;16", ".png")]
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright(mode, suffix, orientation, tmp_path):
    """A TIFF, too: Pillow maps it into memory if it gets a path, with width and height exchanged too early."""
    levels = np.arange(140 * 150).reshape(140, 150)
    grey16 = mode == "I;16"
    picture = Image.fromarray(levels.astype("uint16") if grey16 else (levels // 90).astype("uint8")).convert(mode)
    upright = levels / 257 if grey16 else levels // 90
    upright = np.fliplr(upright) if orientation in (2, 4, 5, 7) else upright
    upright = np.rot90(upright, {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}[orientation])
    found = read(tmp_path / f"turned{suffix}", picture, exif=oriented(orientation))
    np.testing.assert_allclose(found[..., 1], upright, atol=1)


TIFF = b"Exif\0\0II*\0\x08\0\0\0"
STRAIGHT, TURNED = (b"\x12\x01\x03\0\x01\0\0\0" + bytes((value, 0, 0, 0)) for value in (1, 6))  # the entry Orientation
X_BY_ZERO = b"\x1a\x01\x05\0\x01\0\0\0\x26\0\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0"
BROKEN_EXIF = {
    "doubled header": b"Exif\0\0" + TIFF + b"\x01\0" + STRAIGHT + bytes(4),
    "no TIFF header": b"Exif\0\0garbage that is no TIFF",
    "division by zero": TIFF + b"\x02\0" + TURNED + X_BY_ZERO,
    "cut off": TIFF + b"\x01\0" + TURNED[:4],
    "empty": b"Exif\0\0",
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("block", BROKEN_EXIF)
def test_a_broken_exif_block_hides_no_pixels(block, tmp_path):
    found = read(tmp_path / "a.jpg", GRADIENT, exif=BROKEN_EXIF[block], quality=95)
    known = block == "division by zero"  # the rest of it is whole: the photo is turned
    expected = np.rot90(gradient(), 3) if known else gradient()
    assert found.shape == expected.shape and np.abs(found.astype(int) - expected).mean() < 3


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(
    "kind, head", [(b"zTXt", b"History\0\0"), (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0"), (b"iCCP", b"ICC\0\0")]
)
def test_three_megabytes_of_notes_hide_no_pixels(kind, head, tmp_path):
    file = io.BytesIO()
    GRADIENT.save(file, "png")
    content = file.getvalue()
    cut = content.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(
        content[:cut] + chunk(kind, head + zlib.compress(b"a" * 3_000_000)) + content[cut:]
    )
    np.testing.assert_array_equal(photos.read_image(tmp_path / "a.png"), gradient())


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EXCHANGED = SRGB.replace(b"rXYZ", b"_XYZ").replace(b"gXYZ", b"rXYZ").replace(b"_XYZ", b"gXYZ")  # its red means green
GREY = SRGB.replace(b"RGB ", b"GRAY").replace(b"rTRC", b"kTRC")
LINEAR = (
    GREY[: GREY.index(b"para")] + b"curv" + bytes(8) + GREY[GREY.index(b"para") + 12 :]
)  # level 128 means 50% light


def test_colours_are_those_that_a_viewer_shows(tmp_path):
    for mode in ("RGB", "RGBA"):
        found = read(tmp_path / "a.png", Image.new("RGB", (64, 64), (200, 90, 60)).convert(mode), icc_profile=EXCHANGED)
        np.testing.assert_allclose(found[0, 0], (90, 200, 60), atol=2)
    for mode in ("L", "LA"):
        found = read(tmp_path / "a.png", Image.new("L", (64, 64), 128).convert(mode), icc_profile=LINEAR)
        np.testing.assert_allclose(found[0, 0], 188, atol=1)  # sRGB's level of 50% light


def test_a_profile_that_says_nothing_is_ignored(tmp_path):
    """Broken, cut off, or one of grey levels in a photo of colours; or none in one of inks."""
    for profile in (b"rubbish", EXCHANGED[:200], LINEAR):
        found = read(tmp_path / "a.png", GRADIENT, icc_profile=profile)
        np.testing.assert_array_equal(found, gradient())
    for options in ({}, {"icc_profile": EXCHANGED}):
        red = read(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), **options)[8, 8]
        assert red[0] > 200 and red[1] < 60


@pytest.mark.parametrize("kind", ["int32", "float32", "uint16"])
def test_levels_of_unknown_range_are_refused(kind, tmp_path):
    """Of 12, 16 or 32 bits, where 0 is black or white: Pillow's levels do not tell."""
    with pytest.raises(ValueError, match="deep.tiff: it holds levels of more than 8 bits"):
        read(tmp_path / "deep.tiff", Image.fromarray(np.zeros((140, 150), kind)))


def test_what_is_no_whole_image_is_named(tmp_path):
    GRADIENT.save(file := io.BytesIO(), "jpeg")
    whole = file.getvalue()
    for content in (b"", b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(40), whole[: len(whole) // 2]):
        (tmp_path / "broken.jpg").write_bytes(content)
        with pytest.raises(ValueError, match="broken.jpg.*Replace or remove this file"):
            photos.read_image(tmp_path / "broken.jpg")


@pytest.mark.parametrize(
    "path, kind, words",
    [
        ("nowhere.png", FileNotFoundError, "nowhere.png: it does not exist, or is a folder"),
        (".", FileNotFoundError, "or is a folder"),
        (gradient(), TypeError, "not .*ndarray"),
    ],
)
def test_what_is_no_file_is_refused(path, kind, words):
    with pytest.raises(kind, match=words):
        photos.read_image(path)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTCONN, errno.EACCES])
def test_a_drive_that_fails_is_not_called_a_broken_photo(number, tmp_path, monkeypatch):
    def failing(path, mode):
        raise OSError(number, "the drive failed")

    monkeypatch.setattr(photos, "open", failing, raising=False)
    with pytest.raises(OSError, match=r"a.png \(the drive failed\): its drive .* fails.* the photo may be whole"):
        photos.read_image(tmp_path / "a.png")


def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    GRADIENT.save(tmp_path / "a.png")
    monkeypatch.setattr(photos, "MAX_PIXELS", 10_000)
    monkeypatch.setattr(Image.Image, "load", None)
    with pytest.raises(ValueError, match="150x140 pixels; the limit is 10,000"):
        photos.read_image(tmp_path / "a.png")


def test_the_square_of_a_face():
    """By default the largest central one: of an aligned CelebA image, its 178x178."""
    photo = np.zeros((218, 178, 3), "uint8")
    photo[20:198] = 200
    np.testing.assert_array_equal(photos.face_crop(photo), np.full((128, 128, 3), 200, "uint8"))
    np.testing.assert_array_equal(photos.face_crop(gradient(), (20, 10, 148, 138)), gradient()[10:138, 20:148])


@pytest.mark.parametrize(
    "photo, box, words",
    [
        (np.zeros((300, 100, 3), "uint8"), None, "100x300.*128"),
        (gradient(), (0, 0, 140, 130), "expected a square .* inside 150x140"),
        (gradient(), (-1, 0, 139, 140), "expected a square .* inside 150x140"),
        (gradient(), (20, 10, 160, 150), "expected a square .* inside 150x140"),
        (data.to_float(gradient()), None, "dtype float32.*to_uint8"),
    ],
)
def test_a_square_that_cannot_be_is_refused(photo, box, words):
    with pytest.raises(ValueError, match=words):
        photos.face_crop(photo, box)
