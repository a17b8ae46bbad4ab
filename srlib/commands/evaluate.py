"""`srlib evaluate --data FOLDER`: measure networks on test faces, and write the tables of chapter 05."""

import dataclasses
import functools
import itertools
import pathlib

import numpy as np

from .. import data, datasets, inference, judges, losses, metrics, models, pretrained, runtime, vgg
from ..backend import tf

METRICS = {  # what is averaged and compared, in the order of printed tables: title and digits
    "psnr": ("RGB dB", 2),
    "psnr_y": ("Y dB", 2),
    "ssim": ("SSIM", 3),
    "feature_distance": ("feature", 3),
    "identity": ("identity", 3),
    "landmarks": ("landmarks", 2),
    "lr_consistency": ("LR dB", 2),
}
BATCH = 20  # faces per call


def methods(networks=()):
    """Methods by name, classical kernels first: functions lr -> sr on float32 batches.

    networks: shipped names, folders of trainings or Keras files; default: all shipped ones.
    """
    return {kernel: functools.partial(data.upscale, kernel=kernel) for kernel in data.KERNELS} | {
        pathlib.Path(network).name: functools.partial(inference.predict, pretrained.load(network))
        for network in networks or pretrained.names()
    }


def scores(pixels, features=None, upscalers=None, judged=False):
    """All metrics of all methods on HR images: dict method -> dict of arrays (N,), as `metrics.evaluate` returns it.

    pixels: uint8 (N, 128, 128, 3). features: the model of `vgg.features`, or None; with it there are also
    feature_distance and, as vectors (N, channels), pooled_hr and pooled_sr for the Frechet distance.
    upscalers: what `methods` returned, if it has been called already. judged: also identity and landmarks of
    `judges.judge`, NaN where no face is found, and turn, of the original. Always there: power_hr and power_sr, spectra
    summed over a batch, (batches, H, W), and the weave of each face alone. Says how far it is every 100 faces.
    """
    upscalers = upscalers or methods()
    parts = {name: [] for name in upscalers}
    for start in range(0, len(pixels), BATCH):  # a few at a time: a thousand results would fill the memory
        lr, hr = data.pairs(pixels[start : start + BATCH])
        reference = tf.nest.flatten(features(hr)) if features else []  # once for all methods
        spectra = [metrics.power_spectrum(image) for image in hr]
        results = {name: upscale(lr) for name, upscale in upscalers.items()}
        turns, verdicts = judges.judge(hr, results) if judged else (None, {})
        for name, sr in results.items():
            powers = [metrics.power_spectrum(image) for image in sr]
            columns = metrics.evaluate(lr, hr, sr) | {
                "power_hr": np.sum(spectra, axis=0)[None],
                "power_sr": np.sum(powers, axis=0)[None],
                "weave": np.array([metrics.weave(*pair)[0] for pair in zip(spectra, powers)]),
            }
            if judged:
                columns |= dict(zip(("identity", "landmarks"), verdicts[name])) | {"turn": turns}
            if features:
                maps = tf.nest.flatten(features(data.quantise(sr)))
                tap = features.output_names.index(metrics.FRECHET_TAP)
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


def interval(name, first, second):
    """The mean of second - first over the images, as a dict: `name`, `name_low` and `name_high`.

    Images without a value, in which no face was found, are left out; so are infinite scores, see
    `metrics.paired_interval`. Where fewer than two are left, the ends are NaN, and the mean is that of all.
    """
    known = ~np.isnan(second)
    try:
        found = metrics.paired_interval(np.broadcast_to(first, second.shape)[known], second[known])
    except ValueError:  # fewer than two finite ones
        found = float(np.mean(second[known])), np.nan, np.nan
    return dict(zip((name, f"{name}_low", f"{name}_high"), found))


def benchmark(pixels, features, results, sources=None):
    """The table of all methods: one dict a method, evaluated on HR images.

    Keys: method; n, the number of images; infinite, on how many of them the PSNR is infinite; for every metric in
    `results` its mean, `_low` and `_high` of its bootstrap 95% interval, and `_ties`: the methods from which it does
    not differ significantly, image by image; psnr_gain, the paired difference to bicubic, with its interval; weave,
    weave_ky and weave_kx of `metrics.weave` over all images, weave_face, the 90th percentile of that of single faces,
    and fine_power, `metrics.high_frequency_power`; what `frechet_of_halves` and `cost` return; the source of the
    features. An image that comes back exactly, such as an even grey, has an infinite PSNR. Means and intervals leave it
    out; a pair of methods is compared on images where both are finite, or both infinite, which counts as no difference.
    pixels: uint8 (N, 128, 128, 3). features: the model of `vgg.features`, or None. results: of `scores`, for both.
    sources: dict method -> folder of its training, for those that are not shipped.
    """
    present, rows = [key for key in (*METRICS, "ssim_y") if key in results["bicubic"]], []
    for name, columns in results.items():
        row = {"method": name, "n": len(pixels), "infinite": int(np.isinf(columns["psnr"]).sum())}
        for metric in present:
            row |= interval(metric, 0.0, columns[metric]) | {f"{metric}_ties": ""}
        row |= interval("psnr_gain", results["bicubic"]["psnr"], columns["psnr"])
        powers = [columns[key].sum(axis=0) for key in ("power_hr", "power_sr")]
        ratio, (ky, kx) = metrics.weave(*powers)
        row |= {"weave": ratio, "weave_ky": ky, "weave_kx": kx, "weave_face": np.quantile(columns["weave"], 0.9)}
        row |= {"fine_power": metrics.high_frequency_power(*powers)}
        row |= frechet_of_halves(columns.get("pooled_hr"), columns.get("pooled_sr"))
        rows.append(row | cost((sources or {}).get(name, name)) | {"features": features.source if features else ""})
    for metric, pair in itertools.product(present, itertools.combinations(rows, 2)):
        found = interval("", *(results[row["method"]][metric] for row in pair))
        if not (found["_low"] > 0 or found["_high"] < 0):  # NaN: nobody knows
            for row, other in (pair, pair[::-1]):
                row[f"{metric}_ties"] = f"{row[f'{metric}_ties']} {other['method']}".strip()
    return rows


def frechet_of_halves(hr, sr, seed=0, resamples=50):
    """Frechet distance between the results of one half of the faces and the originals of the *other* half.

    hr, sr: vectors of the originals and the results, (N, D), or None. Returns a dict: frechet and frechet_floor, means
    over five random halvings; the floor is the distance of the originals of both halves, which is what a perfect method
    would get: so few faces cannot describe a distribution better. frechet_low and frechet_high: a bootstrap 95%
    interval, by resampling the faces inside both halves; resampling raises the distance, as fewer different faces do,
    so that the interval is moved back by the mean of what it adds. All are empty strings without vectors, and for fewer
    than D faces, where the floor hides the differences between methods.
    """
    keys = "frechet", "frechet_low", "frechet_high", "frechet_floor"
    if hr is None or len(hr) < hr.shape[1]:
        return dict.fromkeys(keys, "")
    rng = np.random.default_rng(seed)
    halves = [np.array_split(rng.permutation(len(hr)), 2) for _ in range(5)]
    distances = [[metrics.frechet_distance(hr[a], other[b]) for other in (sr, hr)] for a, b in halves]
    value, floor = np.mean(distances, axis=0)
    drawn = [[rng.choice(half, len(half)) for half in halves[index % 5]] for index in range(resamples)]
    spread = [metrics.frechet_distance(hr[a], sr[b]) for a, b in drawn]
    low, high = value + np.quantile(spread, [0.025, 0.975]) - np.mean(spread)
    return dict(zip(keys, (value, low, high, floor)))


def faces(pixels, results):
    """One dict a face: what it is like, and the PSNR and, where judged, the identity distance of every method.

    brightness and contrast: mean and standard deviation of its luma. sharpness: the decimal logarithm of its mean power
    beyond 16 periods per image, which its LR image cannot hold. turn: of `judges.turn`, NaN where no face was found.
    """
    images = data.to_float(pixels)
    luma, powers = metrics.luma(images), map(metrics.power_spectrum, images)
    sharpness = [metrics.fine_powers(power, power, 16)[0].mean() for power in powers]
    axes = (1, 2, 3)
    columns = {"brightness": luma.mean(axes).round(4), "contrast": luma.std(axes).round(4)}
    columns |= {"sharpness": np.log10(sharpness).round(3)}
    judged = {"turn": results["bicubic"]["turn"].round(3)} if "turn" in results["bicubic"] else {}
    columns |= judged | {name: scores["psnr"].round(2) for name, scores in results.items()}
    columns |= {f"{name} identity": scores["identity"].round(3) for name, scores in results.items() if judged}
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def cost(network):
    """What a method costs: parameters, gflops of one 32x32 input; images seen and hours of training, with validation
    and saving, in the pixel stage and in the game apart (those of a start stand in the columns of its stage); the
    machine of its last stage; sha256 of its weights. network: a kernel, a shipped name, or a folder of `srlib train`.
    """
    stages = dict.fromkeys(("images_pixel", "images_game", "hours_pixel", "hours_game"), 0)
    if network in data.KERNELS:
        return {"parameters": 0, "gflops": 0} | stages | {"machine": "", "sha256": ""}
    entry = pretrained.info(network)
    recipe = entry.get("recipe", {})
    stages = {key: cost(recipe.get("start") or "bicubic")[key] for key in stages}
    stage = "game" if recipe.get("discriminator") else "pixel"
    stages[f"images_{stage}"] += entry["images_seen"]
    stages[f"hours_{stage}"] += entry["hours"]
    work = models.gflops(models.GENERATORS[entry.get("name", network)]())
    last = {"machine": entry.get("machine", ""), "sha256": entry.get("sha256") or pretrained.digest(network)}
    return {"parameters": entry["parameters"], "gflops": work} | stages | last


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
    """Write a dict name -> rows as `FOLDER/NAME.csv`."""
    for name, rows in tables.items():
        pretrained.write_rows(folder / f"{name}.csv", [{key: field(row[key]) for key in row} for row in rows])


def markdown_table(rows):
    """A table of `benchmark` as Markdown, aligned to be read as plain text, too: quality, then cost.

    gain is the mean difference to bicubic in dB, with its 95% interval over faces; feature, identity, landmarks and
    Frechet are distances; weave and fine are power against the photos'; LR dB is the LR consistency. Images, in
    thousands, and hours are those of the pixel stage + those of the game. A `~` marks a mean that differs from another
    method's by no more than chance (paired 95% interval).
    """
    lines = []
    for row in rows:
        quality = {
            title: f"{row[metric]:.{digits}f}" + ("~" if row[f"{metric}_ties"] else " ")
            for metric, (title, digits) in METRICS.items()
            if metric in row
        }
        lines.append(
            {
                "method": row["method"],
                "gain": f"{row['psnr_gain']:+.2f} ({row['psnr_gain_low']:+.2f} to {row['psnr_gain_high']:+.2f})",
                **quality,
                "Frechet": "-" if row["frechet"] == "" else f"{row['frechet']:.0f}",
                "weave": f"{row['weave']:.1f}",
                "fine": f"{row['fine_power']:.2f}",
                "Mparam": f"{row['parameters'] / 1e6:.2f}",
                "GFLOP": f"{row['gflops']:.2f}",
                "images": f"{row['images_pixel'] / 1000:.0f}+{row['images_game'] / 1000:.0f}",
                "hours": f"{row['hours_pixel']:.2f}+{row['hours_game']:.2f}",
            }
        )
    widths = {title: max(len(title), *(len(line[title]) for line in lines)) for title in lines[0]}
    ruler = {title: "-" * (width - 1) + ":" for title, width in widths.items()}
    lines = [{title: title for title in widths}, ruler, *lines]
    return "\n".join("|".join(["", *(f"{line[title]:>{widths[title]}}" for title in widths), ""]) for line in lines)


OPTIONS = {
    "--data": {"help": "a folder, or celeba (default: SRLIB_DATA)"},
    "--count": {"type": int, "default": 1000, "help": "how many test images (default: 1000)"},
    "--networks": {"nargs": "+", "default": [], "help": "names, or folders of `srlib train` (default: all shipped)"},
    "--judges": {"dest": "judged", "action": "store_true", "help": "also identity and landmark distance, by dlib"},
    "--folder": {"type": runtime.make_folder, "help": "for benchmark.csv and faces.csv (default: only print)"},
}


def main(data, count, networks, judged, folder):
    if count < 1:
        raise ValueError(f"--count is {count}; expected at least 1 image")
    if judged:
        judges.networks()  # before the work
    limits = dataclasses.replace(runtime.PROFILES["full"], train_images=1, held_out_images=count)
    source, features, upscalers = datasets.load(data, limits), vgg.features(), methods(networks)
    runtime.say(f"{source.description}; {len(source.test)} test images, {len(upscalers)} methods")
    results = scores(source.test, features, upscalers, judged)
    rows = benchmark(source.test, features, results, {pathlib.Path(path).name: path for path in networks})
    runtime.say(markdown_table(rows))
    if folder:
        write_tables(folder, {"benchmark": rows, "faces": faces(source.test, results)})
