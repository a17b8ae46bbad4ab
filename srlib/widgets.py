"""Widgets of the chapters (ipywidgets): a before/after slider, and a button for a photo of your own.

A widget shows a picture and is returned: where nothing runs (GitHub, HTML, paper), the picture stays. Images are
drawn at the smallest integer multiple of their pixels that is at least `width` wide, unaltered (PNG).
"""

import io
import pathlib

import ipywidgets
import numpy as np
from IPython.display import clear_output, display

from . import photos, plotting


def slider(before, after, labels=("before", "after"), caption="", width=384):
    """A before/after slider: drag to move the white border between two images; returns the widget.

    before, after: as in `plotting.strip`, of one width or one an integer multiple of the other; else `ValueError`.
    """
    images = plotting.one_size([before, after])
    left, right = (np.asarray(plotting.enlarged(image, -(-width // image.width))) for image in images)
    view = ipywidgets.Image(format="png")
    position = ipywidgets.IntSlider(
        50, 0, 100, readout=False, description=" | ".join(labels), style={"description_width": "initial"},
        layout={"width": f"{left.shape[1]}px"},
    )  # fmt: skip

    def draw(change=None):
        border = round(position.value / 100 * left.shape[1])
        pixels = np.concatenate([left[:, :border], right[:, border:]], axis=1)
        pixels[:, max(border - 1, 0) : border + 1] = 255
        view.value = plotting.Picture(pixels).png()

    position.observe(draw, "value")
    draw()
    display(plotting.strip([before, after], labels, caption=caption))
    return ipywidgets.VBox([view, position], layout={"align_items": "flex-start"})  # an image is not stretched


def uploaded(value):
    """Name and bytes of the photo in the value of a `FileUpload`: a dict in ipywidgets 7 (Colab's), a tuple in 8."""
    file = list(value.values())[-1] if isinstance(value, dict) else value[-1]
    return pathlib.PurePath((file.get("metadata") or file)["name"]).name, bytes(file["content"])


def upload(show):
    """A button that takes a photo, finds the face in it, and shows below what `show` makes of it; returns the widget.

    show: a function of a face, uint8 (128, 128, 3), see `photos.cut_face`. What is no photo is named there.
    """
    button = ipywidgets.FileUpload(accept="image/*", description="choose a photo", layout={"width": "16em"})
    view = ipywidgets.Output()

    def update(change):
        if change["new"]:
            name, content = uploaded(change["new"])
            with view:
                clear_output()
                try:
                    display(show(photos.cut_face(photos.upright_rgb(io.BytesIO(content)))))
                except Exception as error:  # Pillow's many types
                    print(f"cannot use {name}: {error}")

    button.observe(update, "value")
    return ipywidgets.VBox([button, view])
