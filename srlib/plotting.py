"""Figures of the series: faces at an integer multiple of their pixels, spectra, curves, the health panel.

Pictures of pixels (`strip`, `details`, `spectra`) are put together pixel by pixel and come as a `Picture`, which a
notebook shows one to one. Figures of data are matplotlib's, in the style of `runtime.setup`; `Picture(figure, caption)`
gives them a caption. Images are float in [0, 1] or uint8, (H, W, 3). Used in every chapter.
"""

import html
import io
import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from . import data, runtime

COLOURS = runtime.COLOURS
FACE = {"eyes": (36, 52, 92, 80), "mouth": (36, 80, 92, 108)}  # left, upper, right, lower at 128 px; whole LR pixels
PAGE, GAP, TEXT = 788, 6, 16  # pixels: what a window of 900 leaves for a figure, the white between two, a letter's size
LARGEST = {"g": 1e-2, "d": 1e-1}  # size of an update / size of the weights, above which a player is unsteady
LABELS = {  # of the columns of tables and histories: unit, and which direction is better
    "psnr": "PSNR (dB, RGB)\nhigher is better",
    "psnr_gain": "gain over bicubic (dB)\nRGB, higher is better",
    "ssim": "SSIM (RGB)\nhigher is better",
    "feature_distance": "feature distance\nlower is better",
    "frechet": "Frechet distance\nlower is better",
    "lr_consistency": "LR consistency (dB)\nhigher is better",
    "val_psnr": "validation PSNR (dB, RGB)\nhigher is better",
    "pixel": "pixel loss\nlower is better",
}


class Picture:
    """Pixels that a notebook shows one to one, above a caption that is their alternative text, too.

    content: an image, or a matplotlib figure, which is drawn at its dpi and closed. caption: what there is to see. A
    picture shows itself as the last line of a cell, elsewhere by `display(picture)`; as PNG, hence exact and full
    colour. `pixels` are its uint8 (H, W, 3).
    """

    def __init__(self, content, caption=""):
        if isinstance(content, plt.Figure):
            content.savefig(file := io.BytesIO(), format="png")
            plt.close(content)
            content = np.asarray(Image.open(file).convert("RGB"))
        self.pixels, self.caption = displayable(content), caption

    def png(self):
        """The picture as the bytes of a PNG file."""
        Image.fromarray(self.pixels).save(file := io.BytesIO(), "png")
        return file.getvalue()

    def _ipython_display_(self):
        from IPython.display import display

        words, look = {"text/plain": self.caption}, {"alt": self.caption, "unconfined": True}  # scrolled, never shrunk
        display(words | {"image/png": self.png()}, metadata={"image/png": look}, raw=True)
        if self.caption:  # as text, too: many a program that shows notebooks drops the alternative text
            display(words | {"text/html": f"<p>{html.escape(self.caption)}</p>"}, raw=True)


def displayable(image):
    """An image as uint8 (H, W, 3), clipped. Raises `ValueError` for another shape."""
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(f"an image has shape {image.shape}; expected RGB, (H, W, 3): one image, not a batch")
    return image if image.dtype == np.uint8 else data.to_uint8(image)


def enlarged(image, factor):
    """Nearest neighbour by an integer: each pixel of a Pillow image becomes a square of factor x factor."""
    return image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)


def closer(image, width, box):
    """A box (left, upper, right, lower) of a Pillow image, as large as the width allows, but 3x at least."""
    left, upper, right, lower = box
    if not (0 <= left < right <= image.width and 0 <= upper < lower <= image.height):
        raise ValueError(f"the box {tuple(box)} is not inside an image of {image.width}x{image.height} pixels")
    return enlarged(image.crop(box), max(3, width // (right - left)))


def one_size(images):
    """Images as Pillow's, the smaller ones enlarged to the width of the largest, by integers; else `ValueError`."""
    images = [Image.fromarray(displayable(image)) for image in images]
    widths = [image.width for image in images]
    if any(max(widths) % width for width in widths):
        raise ValueError(f"images are {widths} pixels wide, no integer multiples: draw them apart, or resize one")
    return [enlarged(image, max(widths) // image.width) for image in images]


def written(text, width, weight="normal"):
    """Lines of text as black on white pixels, wrapped to a width; a Pillow image."""
    font = ImageFont.truetype(font_manager.findfont(f"DejaVu Sans:weight={weight}"), TEXT)
    lines = [part for line in str(text).splitlines() for part in textwrap.wrap(line, int(width / (0.58 * TEXT)))]
    canvas = Image.new("RGB", (width, (TEXT + 4) * len(lines)), "white")
    ImageDraw.Draw(canvas).text((0, 0), "\n".join(lines), "black", font)
    return canvas


def sheet(blocks, titles, caption):
    """Put a `Picture` together. blocks: of (label, bands); a band holds a Pillow image for each column.

    Where the page ends, the bands of a block are wrapped together, in even lines, so that a title stays above its
    image. Titles that stand above the first block serve the others, unless lines are wrapped.
    """
    width = max(cell.width for _, bands in blocks for band in bands for cell in band)
    placed, y, fitting = [], GAP, max(1, PAGE // (width + GAP))
    for label, bands in blocks:
        count = len(bands[0])
        columns = -(-count // -(-count // fitting))
        if titles and len(titles) != count:
            raise ValueError(f"{count} images in a row have {len(titles)} titles: {', '.join(map(str, titles))}")
        heads = titles if titles and (columns < count or not placed) else []
        bands = [[written(label, width, "bold")] if label else [], [written(head, width) for head in heads], *bands]
        for start in range(0, count, columns):
            for cells in filter(None, (band[start : start + columns] for band in bands)):
                placed += [(GAP // 2 + column * (width + GAP), y, cell) for column, cell in enumerate(cells)]
                y += max(cell.height for cell in cells) + GAP
    canvas = Image.new("RGB", (max(x + cell.width for x, _, cell in placed) + GAP // 2, y), "white")
    for x, y, cell in placed:
        canvas.paste(cell, (x, y))
    return Picture(canvas, caption)


def strip(images, titles=None, zoom=None, rows=None, caption="", width=256):
    """Whole faces side by side, wrapped at the page's edge, with details of each below it; returns a `Picture`.

    images: list of (H, W, 3), or a list of such lists, one a row; smaller ones (LR) are shown as large as the
    largest. titles: one a column. zoom: a box (left, upper, right, lower) in pixels of the largest image, or a list
    of boxes, cut from every image, drawn at 3x or more, and framed in the last face of the row. rows: a label a row.
    width: each face is drawn at the smallest integer multiple that is at least so wide; 256 puts three on the page.
    Raises `ValueError` for images of other shapes, widths that are no multiples, boxes that leave the image.
    """
    table = images if isinstance(images[0], (list, tuple)) else [images]
    boxes = zoom if isinstance(zoom, list) else [zoom] if zoom else []
    blocks = []
    for label, line in zip(rows or [""] * len(table), table, strict=True):
        line = one_size(line)
        factor = -(-width // line[0].width)
        faces = [enlarged(image, factor) for image in line]
        for left, upper, right, lower in boxes:  # the frame runs around the detail, not over it
            frame = factor * left - 3, factor * upper - 3, factor * right + 2, factor * lower + 2
            ImageDraw.Draw(faces[-1]).rectangle(frame, outline=COLOURS[1], width=3)
        blocks.append((label, [faces, *([closer(image, faces[0].width, box) for image in line] for box in boxes)]))
    return sheet(blocks, titles, caption)


def details(rows, columns, caption=""):
    """The same detail of several results side by side, one detail a row; returns a `Picture`.

    rows: a list of (label, box, images), with one image a column; box: (left, upper, right, lower) in pixels of the
    largest image. columns: titles. Details are drawn at the integer that fills the page, 3x at least; where 3x does
    not fit they are wrapped. Raises `ValueError` as `strip` does.
    """
    room = min(384, PAGE // len(columns) - GAP)
    bands = [[closer(image, room, box) for image in one_size(images)] for _, box, images in rows]
    return sheet([(label, [band]) for (label, *_), band in zip(rows, bands)], columns, caption)


def difference(reference, result, gain=4.0):
    """Signed error map for display: grey is equal, lighter means the result is brighter. gain: amplification.

    Returns float32 in [0, 1], (H, W, 3). Raises `ValueError` for an image of another shape.
    """
    before, after = (displayable(image) / np.float32(255) for image in (reference, result))
    return np.clip(0.5 + gain * (after - before), 0, 1)


def spectra(powers, caption="", limits=(-25, 35), cmap="magma"):
    """Pictures of power spectra in dB, a square of pixels for each frequency, none averaged; returns a `Picture`.

    powers: dict name -> (H, H) of `metrics.power_spectrum`, or ratios of such; those in dB suit `limits=(-15, 15),
    cmap="RdBu_r"`. What places and colours mean is added to the caption. Raises `ValueError` as `strip` does.
    """
    low, high = limits
    decibels = [10 * np.log10(np.maximum(power, 1e-12)) for power in powers.values()]
    images = [plt.get_cmap(cmap)((power - low) / (high - low), bytes=True)[..., :3] for power in decibels]
    places = f"Middle: frequency 0; edges: {len(images[0]) // 2} periods per image."
    scale = f"{caption} {places} Colours of {cmap!r}: {low} to {high} dB."
    return strip(images, list(powers), caption=scale.lstrip())


def colour_of(name):
    """Blue for networks that are trained without a game, red for adversarial ones: those with `gan` in their name."""
    return COLOURS[3] if "gan" in name and not name.endswith("-mse") else COLOURS[0]


def intervals(rows, key, axis, bar=None):
    """A table's column with its 95% intervals, from `key`_low to `key`_high, first row on top.

    rows: list of dicts with `method`. bar: the method whose value is drawn as a vertical line.
    """
    for place, row in enumerate(rows):
        axis.hlines(place, row[f"{key}_low"], row[f"{key}_high"], colour_of(row["method"]), lw=9, alpha=0.4)
        axis.plot(row[key], place, "|", ms=15, mew=2, color=colour_of(row["method"]))
        if row["method"] == bar:
            axis.axvline(row[key], color="0.4", lw=1, ls="--")
    axis.set_yticks(range(len(rows)), [row["method"] for row in rows])
    axis.set(ylim=(len(rows) - 0.5, -0.5), xlabel=LABELS.get(key, key))


def labelled_points(axis, points):
    """Scatter of named points, with the names in a column at the right so that they never overlap.

    points: dict name -> (x, y). Colours are those of `colour_of`.
    """
    order = sorted(points, key=lambda name: points[name][1])
    for name, height in zip(order, np.linspace(0.02, 0.98, len(order))):
        axis.scatter(*points[name], s=50, color=colour_of(name), zorder=3)
        axis.annotate(
            name, points[name], xytext=(1.08, height), textcoords=axis.transAxes, va="center", color=colour_of(name),
            arrowprops={"arrowstyle": "-", "color": "0.75", "lw": 0.8, "shrinkA": 0, "shrinkB": 3},
        )  # fmt: skip


def curves(histories, key="pixel", axis=None, label=None, **look):
    """Draw one quantity of several training histories over the steps; returns the axis.

    histories: a history of `training.fit`, or a dict name -> history. Values that exist only at some steps
    (validation) are drawn as points joined by lines, the others as their mean over the last thirtieth of the run.
    label: of the y axis; by default that of `LABELS`. look: of the lines, as in `axis.plot`.
    """
    axis = axis or plt.subplots()[1]
    for name, history in ({"": histories} if "step" in histories else histories).items():
        steps, values = zip(*[(s, v) for s, v in zip(history["step"], history[key]) if v is not None])
        sparse, width = len(steps) < len(history["step"]), max(1, len(steps) // 30)
        means = [np.mean(values[max(0, end - width) : end]) for end in range(1, len(values) + 1)]
        axis.plot(steps, values if sparse else means, marker="o" if sparse else None, label=name, **look)
    axis.set(xlabel="step", ylabel=label or LABELS.get(key, key))
    if "step" not in histories:
        axis.legend()
    return axis


def health(history):
    """The adversarial game in four panels, with reference lines; returns the figure. Taught in chapter 04."""
    player, other, grey = COLOURS[0], COLOURS[3], "0.4"  # the generator is blue, the discriminator red
    panels = [  # title; name and colour of each line; words, place and colour of each reference
        (
            "what D believes: 1 is real", [("d_real", COLOURS[2]), ("d_fake", COLOURS[4])],
            [("0.5:\ncannot\ntell", 0.5, grey)],
        ),
        (
            "the two losses of the game", [("adversarial", player), ("d_loss", other)],
            [("ln 2:\na draw", np.log(2), grey)],
        ),
        ("norms of the gradients", [("g_gradient", player), ("d_gradient", other)], []),
        (
            "size of an update / of the weights", [("g_update", player), ("d_update", other)],
            [("G's\nlimit", LARGEST["g"], player), ("D's\nlimit", LARGEST["d"], other)],
        ),
    ]  # fmt: skip
    figure, axes = plt.subplots(2, 2, figsize=(7.8, 6.4), layout="constrained")
    for axis, (title, lines, references) in zip(axes.flat, panels):
        for name, colour in (line for line in lines if line[0] in history):
            curves({name: history}, name, axis, color=colour)
        for words, value, colour in references:
            axis.axhline(value, color=colour, ls="--", lw=1.2)
            axis.annotate(
                words, (1.02, value), xycoords=("axes fraction", "data"), color=colour,
                va="top" if axis in axes[1] else "center",  # clear of the legend, and of the steps
            )  # fmt: skip
        axis.set_title(title, loc="left", pad=26)  # the legend stands between title and axes: no curve crosses it
        axis.set(ylabel=None, yscale="log" if axis in axes[1] else "linear")
        axis.legend(
            handles=axis.get_legend_handles_labels()[0],
            ncols=2,
            loc="lower left",
            bbox_to_anchor=(-0.04, 0.97),
            columnspacing=1,
        )
    return figure


__getattr__ = runtime.renamed(__name__, slider="widgets.slider", spectrum="metrics.power_spectrum")
