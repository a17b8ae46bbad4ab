"""The interactive figures, without a browser: what a moved slider does to the picture behind it."""

import io

import numpy as np
import pytest
from PIL import Image

from srlib import photos, widgets


@pytest.fixture
def stills(monkeypatch):
    """The pictures that stand where no widget runs."""
    pictures = []
    monkeypatch.setattr(widgets, "display", pictures.append)
    return pictures


def pixels(view):
    return np.asarray(Image.open(io.BytesIO(view.value)))


def test_the_slider_puts_the_border_where_it_stands(stills):
    noise = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3), "uint8")
    view, position = widgets.slider(*noise, ("bicubic", "GAN"), width=200).children
    assert position.description == "bicubic | GAN" and stills[0].pixels.shape[1] > 2 * 256
    left, right = (image.repeat(7, axis=0).repeat(7, axis=1) for image in noise)
    for position.value, border in ((25, 56), (75, 168), (0, 0), (100, 224)):
        np.testing.assert_array_equal(pixels(view)[:, : max(border - 1, 0)], left[:, : max(border - 1, 0)])
        np.testing.assert_array_equal(pixels(view)[:, border + 1 :], right[:, border + 1 :])


def encoded(image):
    Image.fromarray(image).save(file := io.BytesIO(), "png")
    return file.getvalue()


@pytest.mark.parametrize("version", [7, 8])
def test_an_uploaded_photo_is_cut_to_its_face_and_shown(stills, version):
    """The value of a `FileUpload` has another form in ipywidgets 7.7.1, Colab's, than in 8."""
    button, view = widgets.upload(lambda face: face).children
    for name, content in (("hopper.png", encoded(photos.portraits()[1])), ("notes.txt", b"no photo")):
        file = {"metadata": {"name": name, "type": "", "size": len(content)}, "content": content}
        value = {name: file} if version == 7 else ({"name": name, "content": memoryview(content)},)
        for handler in button._trait_notifiers["value"]["change"]:
            handler({"new": value})
    (face,) = stills
    assert face.shape == (128, 128, 3) and face.dtype == np.uint8
