"""Figures of the series: comparison strips with zooms, curves, the health panel, spectra, the slider.

Importing this module sets matplotlib's style. Colours are Okabe and Ito's, which colour-blind readers
can tell apart. Images are float [0, 1] or uint8, (H, W, 3).
"""

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000"]
LN2 = float(np.log(2))
FACE = {"eyes": (38, 52, 90, 82), "mouth": (44, 82, 84, 106)}  # left, upper, right, lower at 128 px

matplotlib.rcParams.update(
    {
        "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "figure.dpi": 80,
        "font.size": 9.5,
        "image.interpolation": "antialiased",  # nearest where a pixel covers three or more of the figure, else smooth
        "legend.frameon": False,
    }
)


def compact_png(figure, colours=255):
    """A figure as PNG bytes with a palette of 255 colours: a third of the size, so that notebooks stay small."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", facecolor="white")
    picture = Image.open(buffer).convert("RGB")
    picture = picture.quantize(colours, method=Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE)
    small = io.BytesIO()
    picture.save(small, format="png", optimize=True)
    return small.getvalue()


def _use_compact_png():
    try:
        formatter = get_ipython().display_formatter.formatters["image/png"]  # noqa: F821
    except NameError:  # not in a notebook
        return
    plt.switch_backend(matplotlib.get_backend())  # the notebook's backend sets its own formatter when it starts: let it start
    formatter.for_type(matplotlib.figure.Figure, compact_png)


_use_compact_png()


def _pixels(image):
    image = np.asarray(image)
    return image if image.dtype == np.uint8 else np.clip(image, 0, 1)


def strip(images, titles=None, zoom=None, size=1.5, rows=None):
    """Draw images side by side, with optional enlarged details below; returns the figure.

    images: list of (H, W, 3), or a list of such lists, one per row. titles: one per column. zoom: box
    (left, upper, right, lower) in HR pixels, or a list of boxes, cut from every image at the same place
    (LR images are scaled). rows: a label per row. size: inches per image.
    """
    table = images if isinstance(images[0], (list, tuple)) else [images]
    boxes = [] if zoom is None else (zoom if isinstance(zoom, list) else [zoom])
    lines = []
    for line in table:
        reference = max(image.shape[1] for image in line)
        lines.append((line, line[0].shape[0] / line[0].shape[1]))
        for left, upper, right, lower in boxes:
            cuts = []
            for image in line:
                s = image.shape[1] / reference
                cuts.append(image[round(upper * s) : round(lower * s), round(left * s) : round(right * s)])
            lines.append((cuts, (lower - upper) / (right - left)))
    columns = max(len(line) for line in table)
    heights = [height for _, height in lines]
    figure, axes = _tiles(heights, columns, size)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, (line, _) in enumerate(lines):
        for axis, image in zip(axes[row], line):
            axis.imshow(_pixels(image), aspect="auto")
    for axis, title in zip(axes[0], titles or []):
        axis.set_title(title, fontsize=9)
    for index, label in enumerate(rows or []):
        axes[index * (1 + len(boxes)), 0].text(
            -0.05, 0.5, label, rotation=90, va="center", ha="right", transform=axes[index * (1 + len(boxes)), 0].transAxes
        )
    for box in boxes:
        for index, line in enumerate(table):
            _frame(axes[index * (1 + len(boxes)), len(line) - 1], box)
    return figure


def _tiles(heights, columns, size):
    """Figure and axes for pictures `size` inches wide, of the given heights (in widths), without margins."""
    figure, axes = plt.subplots(
        len(heights), columns, figsize=(size * columns, size * sum(heights)), squeeze=False,
        gridspec_kw={"height_ratios": heights, "wspace": 0.03, "hspace": 0.03},
    )  # fmt: skip
    figure.subplots_adjust(0, 0, 1, 1)
    return figure, axes


def _frame(axis, box):
    left, upper, right, lower = box
    axis.add_patch(plt.Rectangle((left, upper), right - left, lower - upper, fill=False, color="white", lw=1.2))


def difference(reference, result, gain=4.0):
    """Signed error map for display: grey is equal, lighter means the result is brighter. gain: amplification."""
    before, after = (image / 255.0 if image.dtype == np.uint8 else image for image in (np.asarray(reference), np.asarray(result)))
    return np.clip(0.5 + gain * (after - before), 0, 1)


def spectrum(image):
    """Log-magnitude Fourier spectrum of an image's mean over channels, zero frequency in the middle: (H, W)."""
    image = np.asarray(image)
    grey = (image / 255.0 if image.dtype == np.uint8 else image.astype("float64")).mean(axis=-1)
    window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1]))
    return np.log10(np.abs(np.fft.fftshift(np.fft.fft2((grey - grey.mean()) * window))) + 1e-3)


def radial(spectrum):
    """Mean of a centred spectrum over rings: (H, W) -> (H / 2,); index k is k periods per image."""
    y, x = np.indices(spectrum.shape)
    rings = np.hypot(y - spectrum.shape[0] // 2, x - spectrum.shape[1] // 2).round().astype(int)
    totals = np.bincount(rings.ravel(), spectrum.ravel())
    return (totals / np.bincount(rings.ravel()))[: spectrum.shape[0] // 2]


def details(rows, columns, size=1.5):
    """Draw the same detail of several results side by side, one detail a row; returns the figure.

    rows: a list of (label, box, images), with one image per column; box: (left, upper, right, lower).
    columns: titles. size: inches per picture.
    """
    heights = [(lower - upper) / (right - left) for _, (left, upper, right, lower), _ in rows]
    figure, axes = _tiles(heights, len(columns), size)
    for line, (label, (left, upper, right, lower), images) in zip(axes, rows):
        for axis, image in zip(line, images):
            axis.imshow(_pixels(image)[upper:lower, left:right], aspect="auto")
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
        line[0].set_ylabel(label, fontsize=8)
    for axis, title in zip(axes[0], columns):
        axis.set_title(title, fontsize=9)
    return figure


def intervals(rows, key, axis, bar=None):
    """Dot plot of a table's column with the interval in `key`_low and `key`_high, first row on top.

    rows: list of dicts with `method`. bar: the method whose value is drawn as a vertical line.
    """
    for place, row in enumerate(rows):
        spread = [[row[key] - row[f"{key}_low"]], [row[f"{key}_high"] - row[key]]]
        colour = COLOURS[3] if "gan" in row["method"] else COLOURS[0]
        axis.errorbar(row[key], place, xerr=spread, fmt="o", ms=4, color=colour, capsize=2)
        if row["method"] == bar:
            axis.axvline(row[key], color="0.6", lw=1, ls="--")
    axis.set_yticks(range(len(rows)), [row["method"] for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)


def labelled_points(axis, points):
    """Scatter of named points, with the names in a column at the right so that they never overlap.

    points: dict name -> (x, y). Adversarial networks (`gan` in the name) are drawn in orange.
    """
    order = sorted(points, key=lambda name: points[name][1])
    heights = np.linspace(0.02, 0.98, len(order))
    for name, height in zip(order, heights):
        x, y = points[name]
        colour = COLOURS[3] if "gan" in name else COLOURS[0]
        axis.scatter(x, y, s=24, color=colour, zorder=3)
        axis.annotate(
            name, (x, y), xytext=(1.06, height), textcoords=axis.transAxes, fontsize=8, va="center", color=colour,
            arrowprops={"arrowstyle": "-", "color": "0.75", "lw": 0.7, "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip


def smooth(values, width):
    """Running mean over at most `width` past values, same length; None is skipped over."""
    values = np.array([np.nan if v is None else v for v in values], "float64")
    return np.array([np.nanmean(values[max(0, i - width + 1) : i + 1]) for i in range(len(values))])


def curves(histories, key="pixel", axis=None, label=None, log=False):
    """Draw one quantity of several training histories over the steps; returns the axis.

    histories: a history of `training.fit`, or a dict name -> history. Values that exist only at some
    steps (validation) are drawn as points joined by lines, the others as a running mean.
    """
    if "step" in histories:
        histories = {"": histories}
    axis = axis or plt.subplots(figsize=(5.2, 2.8))[1]
    for name, history in histories.items():
        known = [(s, v) for s, v in zip(history["step"], history[key]) if v is not None]
        steps, values = zip(*known)
        sparse = len(known) < len(history["step"])
        values = values if sparse else smooth(values, max(1, len(values) // 30))
        axis.plot(steps, values, marker="o" if sparse else None, ms=3, lw=1.5, label=name)
    axis.set(xlabel="step", ylabel=label or key)
    if log:
        axis.set_yscale("log")
    if len(histories) > 1:
        axis.legend()
    return axis


def health(history):
    """The adversarial game in four panels, with reference lines; returns the figure. See chapter 04."""
    figure, axes = plt.subplots(2, 2, figsize=(8.0, 4.6), layout="constrained")
    steps = history["step"]
    width = max(1, len(steps) // 30)

    def draw(axis, names, title, reference=None, note="", log=False):
        for name in names:
            if name in history:
                axis.plot(steps, smooth(history[name], width), lw=1.4, label=name)
        if reference is not None:
            axis.axhline(reference, color="0.4", ls="--", lw=1)
            axis.annotate(note, (1.01, reference), xycoords=("axes fraction", "data"), va="center", fontsize=8)
        if log:
            axis.set_yscale("log")
        axis.set_title(title, pad=18)  # the legend stands between title and axes, where no curve crosses it
        axis.set(xlabel="step")
        axis.legend(fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 0.98))

    draw(axes[0, 0], ["d_real", "d_fake"], "what D believes: 1 = real", 0.5, "0.5:\ncannot tell")
    draw(axes[0, 1], ["d_loss", "adversarial"], "the two losses of the game", LN2, "ln 2:\na draw")
    draw(axes[1, 0], ["g_gradient", "d_gradient"], "gradient norms", log=True)
    draw(axes[1, 1], ["g_update", "d_update"], "size of an update / size of the weights", 1e-3, "about\n1e-3", log=True)
    return figure


def slider(before, after, labels=("before", "after"), width=320):
    """A before/after slider (ipywidgets): drag to move the border between two images of equal size."""
    import ipywidgets as widgets

    size = (width, round(width * before.shape[0] / before.shape[1]))
    left, right = (
        np.asarray(Image.fromarray(np.rint(_pixels(x) * 255).astype("uint8") if x.dtype != np.uint8 else x).resize(size, Image.Resampling.NEAREST))
        for x in (before, after)
    )  # fmt: skip

    def frame(position):
        border = round(position / 100 * width)
        picture = np.concatenate([left[:, :border], right[:, border:]], axis=1)
        picture[:, max(border - 1, 0) : border + 1] = 255
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, format="jpeg", quality=90)
        return buffer.getvalue()

    position = widgets.IntSlider(50, 0, 100, description=labels[0], readout=False, layout={"width": f"{width}px"})
    view = widgets.Image(value=frame(50), format="jpeg", width=size[0], height=size[1])
    position.observe(lambda change: setattr(view, "value", frame(change["new"])), "value")
    return widgets.VBox([view, widgets.HBox([position, widgets.Label(labels[1])])])


def chooser(images, labels, description="", width=384):
    """A slider (ipywidgets) that shows one of several images of equal size. labels: one per image."""
    import ipywidgets as widgets

    height = round(width * images[0].shape[0] / images[0].shape[1])
    frames = []
    for image in images:
        pixels = image if image.dtype == np.uint8 else np.rint(_pixels(image) * 255).astype("uint8")
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="jpeg", quality=90)
        frames.append(buffer.getvalue())
    view = widgets.Image(value=frames[0], format="jpeg", width=width, height=height)
    choice = widgets.SelectionSlider(
        options=[(str(label), index) for index, label in enumerate(labels)],
        description=description, layout={"width": f"{width}px"},
    )  # fmt: skip
    choice.observe(lambda change: setattr(view, "value", frames[change["new"]]), "value")
    return widgets.VBox([view, choice])


def weight_explorer(gradients, shares, picture, width=300):
    """Sliders (ipywidgets) for the share of each loss term's pull, and a picture of the weighted sum of gradients.

    gradients: dict name -> gradient at the SR pixels, see `losses.pixel_gradients`. shares: dict name -> where
    its slider starts, 0 to 1; a share of 0 leaves the term out. picture: function from a gradient to an image.
    The weights below the picture are those of `losses.balance`.
    """
    import ipywidgets as widgets

    from . import losses

    norms = losses.gradient_norms(gradients)
    sliders = {name: widgets.FloatSlider(share, min=0, max=1, step=0.05, description=name) for name, share in shares.items()}
    view, text = widgets.Image(format="jpeg", width=width, height=width), widgets.Label()

    def draw(change=None):
        wanted = {name: slider.value for name, slider in sliders.items() if slider.value > 0}
        weights = losses.balance(norms, wanted) if wanted else {}
        total = sum((weight * gradients[name] for name, weight in weights.items()), np.full_like(gradients[next(iter(shares))], 1e-12))
        buffer = io.BytesIO()
        Image.fromarray(np.rint(_pixels(picture(total)) * 255).astype("uint8")).save(buffer, format="jpeg", quality=75)
        view.value = buffer.getvalue()
        text.value = "weights: " + (", ".join(f"{name} {weight:.2g}" for name, weight in weights.items()) or "none")

    for slider in sliders.values():
        slider.observe(draw, "value")
    draw()
    return widgets.VBox([*sliders.values(), view, text])
