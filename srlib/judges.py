"""Judges that no loss contains: whether it is the same person, and where the parts of the face are. Used in chapter 05.

dlib's networks decide, which no network here was trained with. They come with the extra `judges`, which is
`pip install dlib-bin face-recognition-models`, about 100 MB; the values in the shipped tables need neither. The
landmarks' model was made from the 300-W photos, for research only: it measures here, and is part of nothing that is
shipped.
"""

import functools
import importlib.util
import pathlib

import numpy as np
from PIL import Image

from . import data

SIDE = 384  # pixels: faces are enlarged to this width for dlib, which finds none below 80
MODELS = {"shape_predictor": "shape_predictor_68_face_landmarks", "encoder": "dlib_face_recognition_resnet_model_v1"}
JAW_LEFT, JAW_RIGHT, NOSE = 0, 16, 30  # of the 68 landmarks (Sagonas et al. 2013)


@functools.cache
def networks():
    """dlib, its detector of faces, predictor of landmarks and encoder. Raises `ImportError`: what to install."""
    found = importlib.util.find_spec("face_recognition_models")  # whose own import needs more than its files
    try:
        import dlib

        folder = pathlib.Path(found.submodule_search_locations[0], "models")
    except (ImportError, AttributeError) as error:
        raise ImportError(
            "the judges need dlib and its models: pip install dlib-bin face-recognition-models==0.3.0"
        ) from error
    predictor, encoder = (str(folder / f"{name}.dat") for name in MODELS.values())
    detector = dlib.get_frontal_face_detector()
    return dlib, detector, dlib.shape_predictor(predictor), dlib.face_recognition_model_v1(encoder)


def enlarged(pixels):
    """One face, uint8 (H, W, 3), as wide as `SIDE`."""
    height = round(SIDE * pixels.shape[0] / pixels.shape[1])
    return np.asarray(Image.fromarray(pixels).resize((SIDE, height), Image.Resampling.BICUBIC))


def find(pixels):
    """Where the face is in an original, uint8 (H, W, 3): a rectangle for `look`, or None if dlib finds none."""
    _, detector, _, _ = networks()
    return max(detector(enlarged(pixels), 0), key=lambda box: box.area(), default=None)


def look(pixels, box):
    """What dlib says of a face: its descriptor, float64 (128,), and its landmarks (x, y) in pixels, (68, 2).

    pixels: uint8 (H, W, 3). box: of `find` in the *original*, for every method, so that all are read at one place.
    """
    _, _, predictor, encoder = networks()
    image = enlarged(pixels)
    shape = predictor(image, box)
    landmarks = np.array([[point.x, point.y] for point in shape.parts()]) * pixels.shape[1] / SIDE
    return np.array(encoder.compute_face_descriptor(image, shape)), landmarks


def distances(reference, result):
    """Identity distance and landmark distance, two floats, of two views of one face, of `look`.

    The first is the Euclidean distance of the descriptors; below 0.6 dlib calls it the same person. The second is the
    mean distance of the landmarks in HR pixels. Both are 0 for equal images.
    """
    identity = np.linalg.norm(reference[0] - result[0])
    return float(identity), float(np.linalg.norm(reference[1] - result[1], axis=1).mean())


def turn(landmarks):
    """How far a head is turned, from its landmarks (68, 2): 0 looks ahead, 1 is a profile.

    The nose's place between both ends of the jaw, as the distance from the middle in units of half the width.
    """
    left, right, nose = landmarks[[JAW_LEFT, JAW_RIGHT, NOSE], 0]
    return float(min(1.0, abs(2 * (nose - left) / (right - left) - 1)))


def judge(hr, results):
    """Both distances of every method on the faces that dlib finds in the originals, and how far these are turned.

    hr: float32 (N, H, W, 3) in [0, 1]. results: dict method -> SR images of the same shape. Returns the turn of each
    face, (N,), NaN where none is found, and a dict method -> (identity (N,), landmarks (N,)), NaN at the same places.
    """
    turns, table = np.full(len(hr), np.nan), {name: np.full((2, len(hr)), np.nan) for name in results}
    for index, original in enumerate(data.to_uint8(hr)):
        if box := find(original):
            reference = look(original, box)
            turns[index] = turn(reference[1])
            for name, images in results.items():
                table[name][:, index] = distances(reference, look(data.to_uint8(images[index]), box))
    return turns, table
