"""Figures, pixel by pixel: what a notebook shows of a face is the face, at an integer multiple."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from srlib import plotting, runtime

RNG = np.random.default_rng(0)
LR, *FACES = [RNG.integers(0, 256, (side, side, 3), "uint8") for side in (32, 128, 128, 128, 128)]
EYES, CORNER = (40, 52, 90, 80), (0, 0, 16, 16)


def place(picture, image, factor, box=(0, 0, 128, 128)):
    """The one place (x, y) where a picture shows a box of an image, each pixel as a square of factor x factor."""
    block = np.kron(image[box[1] : box[3], box[0] : box[2]], np.ones((factor, factor, 1), "uint8"))
    corners = np.argwhere((picture.pixels == block[0, 0]).all(axis=-1))
    windows = {(x, y): picture.pixels[y : y + len(block), x : x + block.shape[1]] for y, x in corners}
    (found,) = [corner for corner, window in windows.items() if np.array_equal(window, block)]
    return found


def test_a_face_is_shown_at_an_integer_multiple_unaltered():
    picture = plotting.strip([LR, FACES[0] / np.float32(255), *FACES[1:]], ["LR", "a", "b", "c", "d"])
    columns, rows = zip(place(picture, LR, 8), *(place(picture, face, 2) for face in FACES))
    assert columns[0] + 256 < columns[1] < columns[1] + 256 < columns[2] and columns[3:] == columns[:2]
    assert rows[0] == rows[1] == rows[2] and rows[3] == rows[4] > rows[0] + 256, "wrapped after three"
    assert picture.pixels.shape[1] <= 790  # more is shrunk in a window of 900 pixels
    assert place(plotting.strip([FACES[0][:64]], width=300), FACES[0], 3, (0, 0, 128, 64))


def test_a_zoom_is_closer_and_framed_around_its_pixels():
    picture = plotting.strip([[LR, FACES[0]], [FACES[1], FACES[2]]], zoom=EYES, rows=["first", "second"])
    x, y = place(picture, FACES[0], 2, EYES)  # in the last face of its row; the frame stands around it
    assert len(np.unique(picture.pixels[y - 1, x - 1 : x + 101], axis=0)) == 1
    zooms = [place(picture, face, 5, EYES) for face in (LR.repeat(4, axis=0).repeat(4, axis=1), FACES[0])]
    assert zooms[0][1] == zooms[1][1] > y + 56 and place(picture, FACES[1], 2)[1] > zooms[0][1]


def test_details_are_as_large_as_the_page_allows_and_at_least_threefold():
    picture = plotting.details([("eyes", EYES, FACES[:3]), ("corner", CORNER, FACES[:3])], "abc")
    assert place(picture, FACES[1], 5, EYES)[0] == place(picture, FACES[1], 16, CORNER)[0]
    picture = plotting.details([("", (0, 0, 60, 60), [LR, *FACES])], "abcde")
    first, last = (place(picture, face, 3, (0, 0, 60, 60))[1] for face in (FACES[0], FACES[3]))
    assert last >= first + 180 and picture.pixels.shape[1] <= 790


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"images": [np.zeros((1, 128, 128, 3))]}, r"\(1, 128, 128, 3\); expected RGB, \(H, W, 3\)"),
        ({"images": [FACES[0], FACES[0][:, :100]]}, r"\[128, 100\] pixels wide, no integer multiples"),
        ({"images": FACES[:1], "zoom": (100, 0, 140, 30)}, r"\(100, 0, 140, 30\) is not inside an image of 128x128"),
        ({"images": FACES[:2], "titles": ["one"]}, "2 images in a row have 1 titles: one"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_reason(arguments, words):
    with pytest.raises(ValueError, match=words):
        plotting.strip(**arguments)


def test_a_notebook_gets_the_picture_and_the_caption_as_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda content, **options: shown.append((content, options)))
    picture = plotting.Picture(plt.figure(figsize=(3, 2), dpi=100), "1 < 2")
    picture._ipython_display_()
    assert picture.pixels.shape == (200, 300, 3) and not plt.get_fignums()
    assert shown[0][0]["image/png"] == picture.png() and shown[0][1]["metadata"]["image/png"]["alt"] == "1 < 2"
    assert shown[1][0] == {"text/html": "<p>1 &lt; 2</p>", "text/plain": "1 < 2"}


def test_differences_of_bytes_are_those_of_floats():
    first, second = np.full((2, 2, 3), 100, "uint8"), np.full((2, 2, 3), 101, "uint8")
    for one, other in ((first, second), (first / np.float32(255), second / np.float32(255))):
        np.testing.assert_allclose(plotting.difference(one, other), 0.5 + 4 / 255, atol=1e-6)
        np.testing.assert_allclose(plotting.difference(other, one), 0.5 - 4 / 255, atol=1e-6)


def test_a_spectrum_is_shown_frequency_by_frequency():
    powers = [10 ** RNG.uniform(-2.5, 3.5, (128, 128)) for _ in range(3)]
    picture = plotting.spectra(dict(zip("abc", powers)))
    for power in powers:
        shown = matplotlib.colormaps["magma"]((10 * np.log10(power) + 25) / 60, bytes=True)[..., :3]
        assert place(picture, shown, 2, (1, 0, 128, 128))


def test_figures_of_data_are_legible_and_no_wider_than_the_page():
    history = {"step": [1, 2, 3, 4], "d_real": [0.9, 0.7, 0.5, 0.3], "val_psnr": [None, 20.0, None, 21.0]}
    rows = [{"method": name, "psnr": 20.0, "psnr_low": 19.0, "psnr_high": 22.0} for name in ("edsr", "srgan")]
    with matplotlib.rc_context(runtime.STYLE):
        figure, (left, middle, right) = plt.subplots(1, 3)
        plotting.intervals(rows, "psnr", left, bar="edsr")
        plotting.labelled_points(middle, {"edsr": (1, 1), "srgan": (1, 1.001)})
        plotting.curves(history, "val_psnr", right)
        for drawn in (figure, plotting.health(history)):
            assert min(text.get_fontsize() for text in drawn.findobj(matplotlib.text.Text)) >= 12
            assert drawn.dpi == 100 and plotting.Picture(drawn).pixels.shape[1] <= 790
    np.testing.assert_array_equal(left.collections[1].get_segments()[0], [[19, 1], [22, 1]])
    np.testing.assert_array_equal(right.lines[0].get_xydata(), [[2, 20], [4, 21]])
    assert left.get_xlabel().endswith("higher is better") and right.get_ylabel().endswith("higher is better")
