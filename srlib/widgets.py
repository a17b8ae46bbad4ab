"""Widgets of the chapters (ipywidgets): a before/after slider, a chooser, the explorer of loss weights.

Each shows a picture and returns its widget: where nothing runs (GitHub, HTML, paper), the picture stays. Images are
drawn at the smallest integer multiple of their pixels that is at least `width` wide, unaltered (PNG).
"""

import pathlib
import tempfile

import ipywidgets
import numpy as np
from IPython.display import clear_output, display

from . import losses, photos, plotting

WIDE, COLUMN = {"description_width": "initial"}, {"description_width": "12em"}  # no label is cut off
OWN_SIZE = {"align_items": "flex-start"}  # an image is not stretched


def enlarged(images, width):
    """Images as uint8 arrays of one width, nearest neighbour, by the smallest integer that reaches `width`."""
    images = plotting.one_size(images)
    return [np.asarray(plotting.enlarged(image, -(-width // images[0].width))) for image in images]


def interactive(control, draw):
    """A view of what `draw` makes of the control's value, uint8 (H, W, 3), one to one, above the control."""
    view = ipywidgets.Image(format="png")

    def update(change=None):
        view.value = plotting.Picture(draw(control.value)).png()

    control.observe(update, "value")
    update()
    return ipywidgets.VBox([view, control], layout=OWN_SIZE)


def slider(before, after, labels=("before", "after"), caption="", width=384):
    """A before/after slider: drag to move the white border between two images of one shape; returns the widget."""
    left, right = enlarged([before, after], width)

    def draw(position):
        border = round(position / 100 * left.shape[1])
        picture = np.concatenate([left[:, :border], right[:, border:]], axis=1)
        picture[:, max(border - 1, 0) : border + 1] = 255
        return picture

    display(plotting.strip([before, after], labels, caption=caption))
    words = {"description": " | ".join(labels), "style": WIDE, "layout": {"width": f"{left.shape[1]}px"}}
    return interactive(ipywidgets.IntSlider(50, 0, 100, readout=False, **words), draw)


def chooser(images, labels, description="", caption="", width=384):
    """A slider that shows one of several images of one shape; returns the widget. labels: one per image."""
    frames = enlarged(images, width)
    still = sorted({0, len(images) // 2, len(images) - 1})
    display(plotting.strip([images[i] for i in still], [f"{description} {labels[i]}" for i in still], caption=caption))
    words = {"description": description, "style": WIDE, "layout": {"width": f"{frames[0].shape[1]}px"}}
    options = [(str(label), index) for index, label in enumerate(labels)]
    return interactive(ipywidgets.SelectionSlider(options=options, **words), frames.__getitem__)


def weight_explorer(gradients, shares, picture, caption="", width=384):
    """Sliders for the share of each loss term's pull, and a picture of the weighted gradients; returns the widget.

    gradients: dict name -> gradient at the SR pixels, see `losses.pixel_gradients`. shares: dict name -> where
    its slider starts, 0 to 1; a share of 0 leaves the term out. picture: function from a gradient to an image.
    The weights below the picture are those of `losses.balance`.
    """
    norms = losses.gradient_norms(gradients)
    sliders = {
        name: ipywidgets.FloatSlider(share, min=0, max=1, step=0.05, description=f"share of {name}", style=COLUMN)
        for name, share in shares.items()
    }
    view, text = ipywidgets.Image(format="png"), ipywidgets.Label()

    def weighted():
        wanted = {name: slider.value for name, slider in sliders.items() if slider.value > 0}
        weights = losses.balance(norms, wanted) if wanted else {}
        start = np.full_like(gradients[next(iter(shares))], 1e-12)
        return weights, picture(sum((weight * gradients[name] for name, weight in weights.items()), start))

    def draw(change=None):
        weights, image = weighted()
        view.value = plotting.Picture(enlarged([image], width)[0]).png()
        text.value = "weights: " + (", ".join(f"{name} {weight:.2g}" for name, weight in weights.items()) or "none")

    for slider in sliders.values():
        slider.observe(draw, "value")
    draw()
    display(
        plotting.strip(
            [picture(gradients[name]) for name in shares] + [weighted()[1]], [*shares, "weighted sum"], caption=caption
        )
    )
    return ipywidgets.VBox([*sliders.values(), view, text], layout=OWN_SIZE)


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
            with view, tempfile.TemporaryDirectory() as folder:
                clear_output()
                path = pathlib.Path(folder, name)
                path.write_bytes(content)
                try:
                    display(show(photos.cut_face(path)))
                except ValueError as error:
                    print(error)

    button.observe(update, "value")
    return ipywidgets.VBox([button, view])
