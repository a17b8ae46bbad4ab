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


def test_the_chooser_shows_what_is_chosen(stills):
    levels = [np.full((32, 32, 3), level) for level in (0.0, 0.4, 0.6, 1.0)]
    view, choice = widgets.chooser(levels, "abcd", "alpha").children
    assert pixels(view).shape == (384, 384, 3) and stills[0].pixels.shape[1] > 3 * 256
    for choice.value, level in ((1, 102), (3, 255), (0, 0)):
        assert (pixels(view) == level).all()


def test_the_weight_explorer_shows_the_balanced_sum_of_the_terms(stills):
    upper, left = np.zeros((1, 16, 16, 3), "float32"), np.zeros((1, 16, 16, 3), "float32")
    upper[:, :8], left[:, :, :8] = 1.0, 100.0

    def picture(gradient):
        return np.repeat(np.clip(gradient.mean(axis=(0, 3)) / np.abs(gradient).max(), 0, 1)[..., None], 3, axis=-1)

    terms, shares = {"upper": upper, "left": left}, {"upper": 1.0, "left": 0.0}
    first, second, view, text = widgets.weight_explorer(terms, shares, picture).children
    assert first.description == "share of upper" and stills[0].pixels.shape[1] > 3 * 256
    assert text.value == "weights: upper 1" and pixels(view)[191].min() == 255 and pixels(view)[192].max() == 0
    second.value = 1.0  # equal pull: the term with the 100 times larger gradient gets a hundredth of the weight
    assert text.value == "weights: upper 1, left 0.01"
    quarters = [pixels(view)[y, x].mean() / 255 for y in (9, 300) for x in (9, 300)]
    assert quarters == pytest.approx([1, 0.5, 0.5, 0], abs=0.01)
    first.value = second.value = 0.0
    assert text.value == "weights: none"


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
