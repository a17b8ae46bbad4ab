"""A file or a bundled photo becomes an upright uint8 face. Pillow only. Taught in chapter 01."""

import contextlib
import io
import pathlib

import numpy as np
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from . import data

MAX_PIXELS = 64_000_000  # a larger photo is refused before it is decoded
PORTRAIT_NAMES = ("Eileen Collins", "Grace Hopper")
NO_PHOTOS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # Pillow knows the names of these, but they are no photos
TURNS = {  # value of the EXIF tag Orientation: what makes the photo upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def suffixes():
    """The endings, in small letters, of the files that Pillow reads as photos: `.jpg`, `.jfif`, `.png`, `.gif`, ..."""
    return {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN and kind not in NO_PHOTOS}


def read_image(path):
    """Read one photo as uint8 RGB (H, W, 3), upright, in sRGB.

    Converted on the way: grey, palette, CMYK and 16-bit files; the colours of an ICC profile; transparency is laid
    on white; the EXIF rotation is applied; of several frames or pages, the first is taken. A broken profile or EXIF
    block is ignored. Raises `FileNotFoundError` for a missing file, `OSError` where the drive does not give it, and
    `ValueError`, with the file's name, for one that is no image, is truncated, holds more than 8 bits in another way
    than 16-bit grey PNG, or declares more than `MAX_PIXELS` pixels (read from its header, before anything is decoded).
    """
    path = pathlib.Path(path).expanduser()
    try:
        with open(path, "rb") as file:  # a path would be mapped by Pillow, which garbles turned TIFFs
            return upright_rgb(file)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(
            f"no image file at {path}: it does not exist, or is a folder. Paths are relative to {pathlib.Path.cwd()}"
        ) from error
    except Exception as error:  # Pillow's decoders raise many types; each means "unreadable"
        if isinstance(error, OSError) and error.errno:  # the system's, none of Pillow's
            raise OSError(
                f"cannot read {path} ({error.strerror}): its drive or the connection to it fails, or you may not "
                "read it; the photo may be whole. Try again, or copy the photos to a local disk"
            ) from error
        raise ValueError(f"cannot read the image {path}: {error}. Replace or remove this file") from error


def upright_rgb(file):
    """The photo in a binary file that is open for reading, as in `read_image`; raises the many errors of Pillow."""
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # 64 MB; for 1 MB of notes it refuses the picture
    with Image.open(file) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"it has {width}x{height} pixels; the limit is {MAX_PIXELS:,}: shrink or crop it")
        if image.mode[0] in "FI" and image.format not in ("PNG", "PPM"):  # those two mean 16 bits by it
            raise ValueError("it holds levels of more than 8 bits, of unknown range: save it as PNG")
        image.load()
        turn = None
        with contextlib.suppress(Exception):  # there is no EXIF block, or a broken one
            turn = TURNS[image.getexif()[ExifTags.Base.Orientation]]
        return np.asarray(to_srgb(image if turn is None else image.transpose(turn)))


def to_srgb(image):
    """A decoded Pillow image of any mode as 8-bit sRGB, on white."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip rather than scale
        image = Image.fromarray(np.rint(np.asarray(image, "float32") / 257).clip(0, 255).astype("uint8"))
    mode = "L" if image.mode in ("1", "L", "LA") else "CMYK" if image.mode == "CMYK" else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert(mode)  # one for which there are profiles
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError):  # the profile is broken, or one of another mode
            image = ImageCms.profileToProfile(
                image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
    return image.convert("RGB")


def face_crop(photo, box=None):
    """Cut the square and shrink it to 128x128, bicubic, antialiased, 8 bits.

    photo: uint8 (H, W, 3). The square is `box` = (left, upper, right, lower) if given, else the
    largest central one: for an aligned CelebA image, its 178x178. Returns uint8 (128, 128, 3).
    Raises `ValueError` if the square is smaller than 128 pixels, no square, or leaves the photo.
    """
    photo = data.check_pixels(photo, "the photo", 3)
    height, width = photo.shape[:2]
    side = min(height, width)
    left, upper = (width - side) // 2, (height - side) // 2
    box = box or (left, upper, left + side, upper + side)
    if box[2] - box[0] < data.HR_SIZE:
        raise ValueError(
            f"the photo is {width}x{height}, the square {box[2] - box[0]} wide; "
            f"both sides must be at least {data.HR_SIZE} pixels"
        )
    if box[2] - box[0] != box[3] - box[1] or min(box[:2]) < 0 or box[2] > width or box[3] > height:
        raise ValueError(
            f"the box is {tuple(box)}; expected a square (left, upper, right, lower) inside {width}x{height}"
        )
    square = Image.fromarray(photo).crop(box)  # first: a kernel must not see what lies outside
    return np.asarray(square.resize((data.HR_SIZE, data.HR_SIZE), Image.Resampling.BICUBIC))


def find_faces(photo):
    """The faces that look at the camera, as square boxes (left, upper, right, lower) inside the photo, largest first.

    photo: uint8 (H, W, 3). scikit-image's cascade of local binary patterns (after Viola and Jones 2001) finds a tight
    square; ours is framed like CelebA's crop: 1.73 times as wide, its middle .15 of the tight square higher, as
    measured on aligned CelebA images. Returns an empty list where there is none. Raises `ValueError` for
    another shape or dtype. Taught in chapter 00.
    """
    import skimage.data
    from skimage.feature import Cascade

    photo = data.check_pixels(photo, "the photo", 3)
    height, width = photo.shape[:2]
    scale = max(1.0, max(height, width) / 640)  # a small copy is searched: faces of a tenth of it and more
    small = Image.fromarray(photo).resize((max(1, round(width / scale)), max(1, round(height / scale))))
    largest = min(small.size)
    if largest < 48:  # the cascade's window is 24 pixels wide
        return []
    cascade = Cascade(skimage.data.lbp_frontal_face_cascade_filename())
    found = cascade.detect_multi_scale(np.asarray(small), 1.2, 1, (max(24, largest // 10),) * 2, (largest, largest))
    boxes = []
    for face in sorted(found, key=lambda face: -face["width"]):
        middle = [(face["c"] + 0.5 * face["width"]) * scale, (face["r"] + 0.35 * face["width"]) * scale]
        side = min(round(1.73 * face["width"] * scale), height, width)
        left, upper = (round(min(max(m - side / 2, 0), size - side)) for m, size in zip(middle, (width, height)))
        boxes.append((left, upper, left + side, upper + side))
    return boxes


def cut_face(photo):
    """The largest face of a photo that `find_faces` finds, as `face_crop` cuts it; without one, the central square.

    photo: uint8 (H, W, 3), or the path of an image file. Returns uint8 (128, 128, 3). Raises what `read_image` and
    `face_crop` raise.
    """
    photo = photo if isinstance(photo, np.ndarray) else read_image(photo)
    boxes = [box for box in find_faces(photo) if box[2] - box[0] >= data.HR_SIZE]
    return face_crop(photo, *boxes[:1])


def portraits():
    """The two bundled portraits, cut like CelebA's faces: uint8 (2, 128, 128, 3).

    Eileen Collins (scikit-image's `astronaut`) and Grace Hopper (matplotlib's sample data); both
    photos are in the public domain. No network trains on them.
    """
    import matplotlib.cbook
    import skimage.data

    collins = face_crop(skimage.data.astronaut(), (126, 0, 323, 197))
    hopper = read_image(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    return np.stack([collins, face_crop(hopper, (62, 0, 474, 412))])
