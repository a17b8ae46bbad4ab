"""`srlib evaluate --data FOLDER`: measure every shipped network on test faces, and write the tables of chapter 05."""

import argparse
import contextlib
import csv
import dataclasses
import functools
import itertools
import os
import statistics
import timeit

import numpy as np

from .. import data, datasets, inference, losses, metrics, models, photos, pretrained, runtime, vgg

tf = runtime.load_tensorflow()

SHOWN = {  # in printed tables: title and digits
    "psnr": ("RGB dB", 2),
    "psnr_y": ("Y dB", 2),
    "ssim": ("SSIM", 3),
    "feature_distance": ("feature", 3),
    "lr_consistency": ("LR dB", 2),
}
BATCH = 20  # faces per call, for results and for times


def methods():
    """Every method of the benchmark by name, classical kernels first: functions lr -> sr on float32 batches."""
    return {kernel: functools.partial(data.upscale, kernel=kernel) for kernel in data.KERNELS} | {
        name: functools.partial(inference.predict, pretrained.load(name)) for name in pretrained.names()
    }


def scores(pixels, features=None, upscalers=None):
    """All metrics of all methods on HR images: dict method -> dict of arrays (N,), as `metrics.evaluate` returns it.

    pixels: uint8 (N, 128, 128, 3). features: the model of `vgg.features`, or None; with it there are also
    feature_distance and, as vectors (N, channels), pooled_hr and pooled_sr for the Frechet distance.
    upscalers: what `methods` returned, if it has been called already. Says how far it is about every 100 faces.
    """
    upscalers = upscalers or methods()
    parts = {name: [] for name in upscalers}
    for start in range(0, len(pixels), BATCH):  # a few at a time: a thousand results would fill the memory
        lr, hr = data.pairs(pixels[start : start + BATCH])
        reference = tf.nest.flatten(features(hr)) if features else []  # once for all methods
        for name, upscale in upscalers.items():
            sr = upscale(lr)
            columns = metrics.evaluate(lr, hr, sr)
            if features:
                maps, tap = (
                    tf.nest.flatten(features(data.quantise(sr))),
                    features.output_names.index(metrics.FRECHET_TAP),
                )
                columns |= {  # `list` does nothing here: they are features already
                    "feature_distance": losses.feature_distances(list, reference, maps),
                    "pooled_hr": tf.reduce_mean(reference[tap], (1, 2)),
                    "pooled_sr": tf.reduce_mean(maps[tap], (1, 2)),
                }
            parts[name].append(columns)
        if (start + BATCH) % 100 == 0:
            runtime.say(f"{min(start + BATCH, len(pixels))} of {len(pixels)} faces")
    return {
        name: {key: np.concatenate([batch[key] for batch in batches]).astype("float64") for key in batches[0]}
        for name, batches in parts.items()
    }


def interval(name, values):
    """The mean of scores (N,) as a dict: `name`, and `name_low` and `name_high`, its bootstrap 95% interval.

    Infinite scores are left out. The mean is infinite where all are; the ends are NaN where fewer than two are not.
    """
    finite = values[np.isfinite(values)]
    low, high = metrics.bootstrap_interval(finite) if len(finite) > 1 else (np.nan, np.nan)
    return {name: float((finite if len(finite) else values).mean()), f"{name}_low": low, f"{name}_high": high}


def difference(first, second):
    """second - first, image by image, (N,): 0 where both are infinite, infinite where one is."""
    return np.subtract(second, first, out=np.zeros(len(first)), where=first != second)


def benchmark(pixels, features, results):
    """The table of all methods: one dict a method, evaluated on HR images.

    Keys: method; n, the number of images; infinite, on how many of them a score is infinite; for every metric in
    `results` its mean, `_low` and `_high` of its bootstrap 95% interval, and `_ties`: the methods from which it does
    not differ significantly, image by image; psnr_gain, the paired difference to bicubic, with its interval; frechet
    and frechet_floor, see `frechet_of_halves`; what `cost` returns; the source of the features.
    An image that comes back exactly, such as an even grey, has an infinite PSNR. Means and intervals leave it out; a
    pair of methods is compared on images where both are finite, or both infinite, which counts as no difference.
    pixels: uint8 (N, 128, 128, 3). features: the model of `vgg.features`, or None. results: of `scores`, for both.
    """
    present, rows = [key for key, values in results["bicubic"].items() if values.ndim == 1], []
    for name, columns in results.items():
        infinite = np.any([np.isinf(columns[metric]) for metric in present], axis=0)
        row = {"method": name, "n": len(pixels), "infinite": int(infinite.sum())}
        for metric in present:
            row |= interval(metric, columns[metric]) | {f"{metric}_ties": ""}
        row |= interval("psnr_gain", difference(results["bicubic"]["psnr"], columns["psnr"]))
        row |= frechet_of_halves(columns.get("pooled_hr"), columns.get("pooled_sr"))
        rows.append(row | cost(name) | {"features": features.source if features else ""})
    for metric, pair in itertools.product(present, itertools.combinations(rows, 2)):
        found = interval("", difference(*(results[row["method"]][metric] for row in pair)))
        if not (found["_low"] > 0 or found["_high"] < 0):  # NaN: nobody knows
            for row, other in (pair, pair[::-1]):
                row[f"{metric}_ties"] = f"{row[f'{metric}_ties']} {other['method']}".strip()
    return rows


def frechet_of_halves(hr, sr, seed=0):
    """Frechet distance between the results of one half of the faces and the originals of the *other* half.

    hr, sr: vectors of the originals and the results, (N, D), or None. Returns a dict: frechet and frechet_floor, means
    over five random halvings; the floor is the distance of the originals of both halves, which is what a perfect method
    would get: so few faces cannot describe a distribution better. Both are empty strings without vectors, and for fewer
    than D faces, where the floor hides the differences between methods.
    """
    if hr is None or len(hr) < hr.shape[1]:
        return {"frechet": "", "frechet_floor": ""}
    rng = np.random.default_rng(seed)
    halves = [np.array_split(rng.permutation(len(hr)), 2) for _ in range(5)]
    distances = [[metrics.frechet_distance(hr[a], other[b]) for other in (sr, hr)] for a, b in halves]
    return dict(zip(("frechet", "frechet_floor"), np.mean(distances, axis=0)))


def times(upscalers):
    """Milliseconds per face of every method on this machine, in batches of 20: one dict a method.

    upscalers: what `methods` returned. The median of seven calls after a first one, which compiles.
    Keys: method, ms_per_face, cores.
    """
    lr, _ = data.pairs(np.resize(photos.portraits(), (BATCH, data.HR_SIZE, data.HR_SIZE, 3)))
    return [
        {
            "method": name,
            "ms_per_face": 1000 / BATCH * statistics.median(timeit.repeat(lambda: upscale(lr), number=1, repeat=8)[1:]),
            "cores": os.cpu_count(),
        }
        for name, upscale in upscalers.items()
    ]


def faces(pixels, results):
    """One dict a face: brightness and contrast (`metrics.brightness_and_contrast`), and the PSNR of every method."""
    columns = dict(zip(("brightness", "contrast"), np.round(metrics.brightness_and_contrast(pixels), 4))) | {
        name: scores["psnr"].round(2) for name, scores in results.items()
    }
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def cost(name):
    """What a method costs: parameters, gflops of one 32x32 input, hours of training with validation and saving, and
    images_seen (both with those of the network it started from); trainings, how often it was trained, and seed_sd, the
    standard deviation of their validation PSNR in dB; sha256 of its weights.

    Further trainings with other random seeds stand in the index as a list `val_psnr_repeats`; without one, seed_sd is
    empty.
    """
    if name in data.KERNELS:
        return {"parameters": 0, "gflops": 0, "hours": 0, "images_seen": 0, "trainings": 0, "seed_sd": "", "sha256": ""}
    entry = pretrained.info(name)
    start = cost(entry.get("recipe", {}).get("start") or "bicubic")  # most start from nothing, which costs nothing
    repeats = entry.get("val_psnr_repeats", [])
    return {
        "parameters": entry["parameters"],
        "gflops": models.gflops(models.GENERATORS[name]()),
        "hours": entry["hours"] + start["hours"],
        "images_seen": entry["images_seen"] + start["images_seen"],
        "trainings": 1 + len(repeats),
        "seed_sd": statistics.stdev([entry["val_psnr"], *repeats]) if repeats else "",
        "sha256": entry["sha256"],
    }


def stale(rows):
    """What in a table of `benchmark` does not belong to the shipped networks: sentences, none if all is well.

    Compares the list of methods, and everything that `cost` returns, the weights' SHA-256 included.
    """
    shipped, table = [*data.KERNELS, *pretrained.names()], {row["method"]: row for row in rows}
    reasons = [f"{name} is not both shipped and in the table" for name in sorted({*shipped} ^ {*table})]
    return reasons + [
        f"{name}: {key} is {table[name].get(key)} in the table, {field(value)} now"
        for name in filter(table.get, shipped)
        for key, value in cost(name).items()
        if pretrained.number(field(value)) != table[name].get(key)
    ]


def field(value):
    """A value as it stands in a table."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def write_tables(folder, tables):
    """Write a dict name -> rows as `FOLDER/NAME.csv`: all of them, or, if the drive refuses one, none."""
    with contextlib.ExitStack() as stack:
        for name, rows in tables.items():
            partial = stack.enter_context(runtime.replacing(folder / f"{name}.csv", None))
            with open(partial, "w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows([rows[0], *(map(field, row.values()) for row in rows)])


def markdown_table(rows):
    """A table of `benchmark` as Markdown, aligned to be read as plain text, too: quality, then cost.

    RGB 95% is the interval of RGB dB, gain the mean difference to bicubic, feature and Frechet are distances, LR dB is
    the LR consistency. A `~` marks a mean that differs from another method's by no more than chance (paired 95%
    interval).
    """
    lines = []
    for row in rows:
        lines.append(
            {
                "method": row["method"],
                "RGB 95%": f"{row['psnr_low']:.2f}-{row['psnr_high']:.2f}",
                "gain": f"{row['psnr_gain']:+.2f}",
                **{
                    title: f"{row[metric]:.{digits}f}" + ("~" if row[f"{metric}_ties"] else " ")
                    for metric, (title, digits) in SHOWN.items()
                    if metric in row
                },
                "Frechet": "-" if row["frechet"] == "" else f"{row['frechet']:.1f}",
                "Mparam": f"{row['parameters'] / 1e6:.2f}",
                "GFLOP": f"{row['gflops']:.2f}",
                "hours": f"{row['hours']:.2f}",
                "images": f"{row['images_seen']:,.0f}",
            }
        )
    widths = {title: max(len(title), *(len(line[title]) for line in lines)) for title in lines[0]}
    ruler = {title: "-" * (width - 1) + ":" for title, width in widths.items()}
    lines = [{title: title for title in widths}, ruler, *lines]
    return "\n".join("|".join(["", *(f"{line[title]:>{widths[title]}}" for title in widths), ""]) for line in lines)


def print_table(rows):
    """Print a table of `benchmark`, and below it the pairs of methods that do not differ, and what else it says."""
    runtime.say(markdown_table(rows))
    notes = {
        f"~ no significant difference in {title}": {
            " = ".join(sorted((row["method"], other))) for row in rows for other in row[f"{metric}_ties"].split()
        }
        for metric, (title, _) in SHOWN.items()
        if metric in rows[0]
    } | {
        "Frechet floor, real faces against other real faces": {
            f"{row['frechet_floor']:.1f}" for row in rows if row["frechet"] != ""
        },
        "images with an infinite score, left out of that mean": {
            f"{row['infinite']:.0f} of {row['method']}" for row in rows if row["infinite"]
        },
        "standard deviation over trainings": {
            f"{row['method']} {row['seed_sd']:.3f} dB" for row in rows if row["trainings"] > 1
        }
        or {"unknown, every network was trained once"},
    }
    for note, items in notes.items():
        if items:
            runtime.say(f"{note}: {', '.join(sorted(items))}")


def main(arguments):
    parser = argparse.ArgumentParser(prog="srlib evaluate", description=__doc__)
    parser.add_argument(
        "--data", help="a folder, or celeba; sample gives only portraits and times (default: SRLIB_DATA)"
    )
    parser.add_argument("--count", type=int, default=1000, help="how many test images (default: 1000)")
    parser.add_argument(
        "--folder",
        type=runtime.make_folder,
        default=pretrained.FOLDER,
        help="for the tables (default: beside the weights)",
    )
    parser.add_argument("--times", action="store_true", help="write times.csv only, for a machine that is idle now")
    options = parser.parse_args(arguments)
    if options.count < 2 or not os.access(options.folder, os.W_OK):
        raise ValueError(
            f"--count is {options.count}, --folder {options.folder}: expected at least 2 images, a folder to write to"
        )
    upscalers, tables = methods(), {}
    if not options.times:
        limits = dataclasses.replace(runtime.PROFILES["full"], train_images=1, held_out_images=options.count)
        source, features = datasets.load(options.data, limits), vgg.features()
        runtime.say(f"{source.description}; {len(source.test)} test images, {len(upscalers)} methods")
        tables["portraits"] = benchmark(photos.portraits(), features, scores(photos.portraits(), features, upscalers))
        if source.name != "sample":
            results = scores(source.test, features, upscalers)
            tables |= {"benchmark": benchmark(source.test, features, results), "faces": faces(source.test, results)}
        print_table(tables.get("benchmark", tables["portraits"]))
    write_tables(options.folder, tables | {"times": times(upscalers)})
