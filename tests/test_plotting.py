"""The interactive figures, without a browser: what a moved slider does to the picture behind it."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from srlib import plotting


def pixels(view):
    return np.asarray(Image.open(io.BytesIO(view.value)).convert("RGB"), "float32") / 255


def test_differences_of_bytes_are_those_of_floats():
    first, second = np.full((2, 2, 3), 100, "uint8"), np.full((2, 2, 3), 101, "uint8")
    for one, other in ((first, second), (first / np.float32(255), second / np.float32(255))):
        np.testing.assert_allclose(plotting.difference(one, other), 0.5 + 4 / 255, atol=1e-6)
        np.testing.assert_allclose(plotting.difference(other, one), 0.5 - 4 / 255, atol=1e-6)


def test_a_strip_keeps_the_shape_of_its_images():
    figure = plotting.strip([np.zeros((30, 90, 3), "float32")] * 2)
    figure.canvas.draw()
    box = figure.axes[0].get_window_extent()
    assert box.width / box.height == pytest.approx(3, rel=0.1)
    plt.close(figure)


def test_the_slider_puts_the_border_where_it_stands():
    widget = plotting.slider(np.zeros((32, 32, 3), "float32"), np.full((32, 32, 3), 0.5, "float32"), width=200)
    view, (position, _) = widget.children[0], widget.children[1].children
    for place in (25, 80):
        position.value = place
        brightness = pixels(view).mean(axis=(0, 2))
        assert abs(int(np.argmax(brightness)) - 2 * place) <= 2
        assert brightness[: 2 * place - 9].max() < 0.05 and abs(brightness[2 * place + 9 :].mean() - 0.5) < 0.05


def test_the_weight_explorer_shows_the_balanced_sum_of_the_terms():
    upper, left = np.zeros((1, 16, 16, 3), "float32"), np.zeros((1, 16, 16, 3), "float32")
    upper[:, :8], left[:, :, :8] = 1.0, 100.0

    def picture(gradient):
        return np.repeat(np.clip(gradient.mean(axis=(0, 3)) / np.abs(gradient).max(), 0, 1)[..., None], 3, axis=-1)

    widget = plotting.weight_explorer({"upper": upper, "left": left}, {"upper": 1.0, "left": 0.0}, picture)
    first, second, view, text = widget.children
    assert text.value == "weights: upper 1"
    assert pixels(view)[:8].mean() > 0.95 and pixels(view)[8:].mean() < 0.05
    second.value = 1.0  # equal pull: the term with the 100 times larger gradient gets a hundredth of the weight
    assert text.value == "weights: upper 1, left 0.01"
    quarters = [pixels(view)[rows, columns].mean() for rows in (slice(1, 7), slice(9, 15)) for columns in (slice(1, 7), slice(9, 15))]
    assert quarters == pytest.approx([1, 0.5, 0.5, 0], abs=0.05)
    first.value = 0.0
    assert text.value == "weights: left 1" and pixels(view)[:, :8].mean() > 0.95
    second.value = 0.0
    assert text.value == "weights: none"
