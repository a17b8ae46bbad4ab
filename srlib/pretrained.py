"""The trained ladder: networks that were trained on real faces, with their cards, histories and scores.

    python -m srlib.pretrained --data FOLDER

evaluates every rung on a data set's test images and writes the tables that chapter 05 draws. Run twice, it
writes the same tables, byte for byte; only times.csv, which holds milliseconds, differs.
"""

import argparse
import csv
import dataclasses
import functools
import hashlib
import io
import itertools
import json
import os
import pathlib
import statistics
import time

import numpy as np
from PIL import Image

from . import data, metrics, runtime

FOLDER = pathlib.Path(__file__).parent / "weights"
METRICS = ("psnr", "ssim", "psnr_y", "ssim_y", "feature_distance", "lr_consistency")
MAX_ENLARGE = 16_000_000  # pixels of a photo for `enlarge`: the result has sixteen times as many, 768 MB
TILE = 384  # side of a tile in `enlarge`, pixels of the photo: the overlaps cost 1.4 times, and 0.5 GB are enough
BATCH = 20  # faces per call, for results and for times
HALVINGS = 5  # random halvings of the faces behind the Frechet distance


def _index(folder=None):
    file = (folder or FOLDER) / "index.json"
    return json.loads(file.read_text()) if file.exists() else {}


def _write_index(index, folder):
    with runtime.replacing(folder / "index.json", "w") as file:
        file.write(json.dumps(index, indent=1) + "\n")


def names():
    """Names of the trained networks that can be loaded, from the first rung of the ladder to the last."""
    from .models import GENERATORS

    index = _index()
    return [name for name in GENERATORS if name in index]


def info(name):
    """What is known of a trained network: parameters, recipe, cost, machine, numbers; a dict."""
    index = _index()
    if name not in index:
        raise ValueError(f"unknown model {name!r}; choose one of {', '.join(names())}")
    return index[name]


def load(name, precision="float32"):
    """Load a trained generator: float32 RGB in [0, 1], (N, h, w, 3) -> (N, 4h, 4w, 3), any h, w >= 8.

    precision: one of `runtime.POLICIES`. float32 gives the numbers of the table on every machine; what
    `runtime.best_precision` says is faster where there is bfloat16, and the mean PSNR stays within .02 dB.
    The file's SHA-256 is compared with the index; nothing in it can execute (no pickle).
    Raises `ValueError` for an unknown name or precision or a damaged file, `FileNotFoundError` for a missing one.
    """
    arrays = load_arrays(name)
    from . import models

    with runtime.precision(precision):
        model = models.GENERATORS[name]()
    model.set_weights(arrays)
    return model


def load_arrays(name):
    """The verified weights of a network: a list of float32 arrays in Keras' order. name: as shipped, or the path of an .npz."""
    if str(name).endswith(".npz"):
        content = pathlib.Path(name).read_bytes()
    else:
        entry = info(name)
        path = FOLDER / entry["file"]
        if not path.is_file():
            raise FileNotFoundError(f"the weights {path.name} are missing; install srlib again")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ValueError(f"the weights {path.name} are damaged (SHA-256 differs from the index); install srlib again")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return [file[key].astype("float32") for key in sorted(file.files)]


def digest(name):
    """The SHA-256 of a network's weights. name: as in `load_arrays`."""
    return hashlib.sha256(pathlib.Path(name).read_bytes()).hexdigest() if str(name).endswith(".npz") else info(name)["sha256"]


def history(name):
    """The logged training of a network: dict of lists, one entry per 50 steps (means; None where not measured)."""
    info(name)
    header, *lines = (FOLDER / f"{name}.history.csv").read_text().splitlines()
    columns = zip(*([float(field) if field else None for field in line.split(",")] for line in lines))
    return dict(zip(header.split(","), map(list, columns)))


def snapshots(name):
    """The bundled portraits as a network enlarged them in the course of its training.

    Returns a dict from the step to uint8 (2, 128, 128, 3): Eileen Collins and Grace Hopper. Raises `ValueError` if
    none were kept.
    """
    steps = info(name).get("snapshots")
    if not steps:
        raise ValueError(f"no snapshots of {name!r} were kept in its training")
    with Image.open(FOLDER / f"{name}.snapshots.png") as picture:
        tiles = np.asarray(picture.convert("RGB")).reshape(2, data.HR_SIZE, len(steps), data.HR_SIZE, 3)
    return dict(zip(steps, tiles.transpose(2, 0, 1, 3, 4)))


def save(name, weights, entry, log, folder=FOLDER, snapshots=None):
    """Write weights (list of arrays) as float16 `.npz` with an index entry, the history `log` as CSV, the snapshots as PNG.

    The inverse of `load_arrays`, `history` and `snapshots`; `log` is what `training.fit` returns, `snapshots` a dict
    step -> uint8 (2, 128, 128, 3).
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{f"w{i:04d}": np.asarray(w, "float16") for i, w in enumerate(weights)})
    content = buffer.getvalue()
    with runtime.replacing(folder / f"{name}.npz") as file:
        file.write(content)
    with runtime.replacing(folder / f"{name}.history.csv", "w") as file:
        file.write(_thin_csv(log))
    if snapshots:
        strip = np.concatenate(list(snapshots.values()), axis=2).reshape(-1, len(snapshots) * data.HR_SIZE, 3)
        with runtime.replacing(folder / f"{name}.snapshots.png") as file:
            Image.fromarray(strip).save(file, format="png", optimize=True)
        entry = {**entry, "snapshots": list(snapshots)}
    index, digest = _index(folder), hashlib.sha256(content).hexdigest()
    same = index.get(name, {}).get("sha256") == digest
    kept = {key: value for key, value in index.get(name, {}).items() if same and key == "val_psnr_repeats"}
    index[name] = {"file": f"{name}.npz", "sha256": digest, **kept, **entry}
    _write_index(index, folder)


def save_repeat(name, val_psnr):
    """Note the validation PSNR of a further training with another seed, for `cost`; the weights stay the first's."""
    index, repeats = _index(), info(name).get("val_psnr_repeats", [])
    if val_psnr not in repeats:  # a finished training that is shipped again gives the same number
        index[name] = {**info(name), "val_psnr_repeats": [*repeats, val_psnr]}
        _write_index(index, FOLDER)


def _thin_csv(log, every=50):
    lines = [",".join(log)]
    for start in range(0, len(log["step"]), every):  # the last row may stand for fewer steps
        row = []
        for key, values in log.items():
            known = [value for value in values[start : start + every] if value is not None]
            row.append("" if not known else f"{known[-1] if key == 'step' else sum(known) / len(known):.6g}")
        lines.append(",".join(row))
    return "\n".join(lines) + "\n"


def interpolate(first, second, alpha):
    """A generator between two of the same architecture: weights (1 - alpha) first + alpha second.

    first, second: names, for example `facesr` and `facesr-gan`; alpha: 0 is the first, 1 the second
    (Wang et al. 2018, section 3.4). Raises `ValueError` for another alpha or unlike architectures.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; it must lie in [0, 1]")
    pair = load_arrays(first), load_arrays(second)
    if [w.shape for w in pair[0]] != [w.shape for w in pair[1]]:
        raise ValueError(f"{first!r} and {second!r} differ in architecture; only weights of one architecture can be mixed")
    model = load(first)
    model.set_weights([(1 - alpha) * a + alpha * b for a, b in zip(*pair)])
    return model


def enlarge(photo, name="facesr-gan", tile=TILE, verbose="auto"):
    """Enlarge one photo of any size four times: uint8 (h, w, 3) -> uint8 (4h, 4w, 3).

    photo: the path of an image file, or uint8 (h, w, 3), h, w >= 8. name: of `names`; it runs in
    `runtime.best_precision`. A large photo is cut into tiles of `tile` pixels that overlap by the network's receptive
    field, so that no seam can show. Memory: the photo, the result (48 bytes a pixel of the photo: 576 MB for 12
    megapixels) and the work on one tile, less than 1 GB however large the photo is; larger tiles waste less on
    overlaps, and need more. verbose: as in `training.fit`, 0 silent, 1 a progress bar, 2 lines, "auto" a bar in a
    terminal, else lines; a single tile is over before there is something to say.
    Raises `ValueError` for a photo of more than `MAX_ENLARGE` pixels, whose result would fill the memory.
    """
    from . import training

    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose is {verbose!r}; expected 'auto', 0 (silent), 1 (a bar) or 2 (lines)")
    photo = data.read_image(photo) if isinstance(photo, (str, pathlib.Path)) else data.check_pixels(photo, "photo", 3)
    height, width = photo.shape[:2]
    if height * width > MAX_ENLARGE:
        raise ValueError(f"the photo has {width}x{height} pixels; the limit is {MAX_ENLARGE:,}: crop it, or enlarge parts of it")
    result = np.empty((data.SCALE * height, data.SCALE * width, 3), "uint8")
    model = load(name, runtime.best_precision())
    tiles = training.predict_tiles(model, photo, tile)
    if height > tile or width > tile:
        tiles = _with_progress(tiles, -(-height // tile) * -(-width // tile), verbose, f"{name}, {runtime.best_precision()}")
    for y, x, sr in tiles:
        y, x = data.SCALE * y, data.SCALE * x
        result[y : y + sr.shape[0], x : x + sr.shape[1]] = data.to_uint8(sr)
    return result


def _with_progress(tiles, count, verbose, what):
    """The same tiles; says how far we are, by a bar or about ten lines."""
    from . import training

    bar = training.keras.utils.Progbar(count, unit_name="tile") if training.has_bar(verbose) else None
    started = time.perf_counter()
    for done, tile in enumerate(tiles, start=1):
        yield tile  # comes back when it has been used
        if bar:
            bar.update(done)
        elif verbose and (done % -(-count // 10) == 0 or done == count):
            left = (time.perf_counter() - started) / done * (count - done)
            print(f"tile {done:>3}/{count}  {what}  {left / 60:.1f} min left", flush=True)


# --- the evaluation --------------------------------------------------------------------------------


def methods():
    """Every method of the ladder by name, classical kernels first: functions lr -> sr on float32 batches."""
    from .training import predict

    table = {kernel: functools.partial(data.upscale, kernel=kernel) for kernel in data.KERNELS}
    return table | {name: functools.partial(predict, load(name)) for name in names()}


def scores(pixels, features=None, upscalers=None, report=None):
    """All metrics of all methods on HR images: dict method -> dict of what `metrics.evaluate` returns.

    pixels: uint8 (N, 128, 128, 3). features: the model of `losses.vgg_features`, or None. upscalers:
    what `methods` returned, if it has been called already. report: called with a line about every 100 faces.
    """
    upscalers = upscalers or methods()
    features = features and _remembering(features)
    table = {name: [] for name in upscalers}
    for start in range(0, len(pixels), BATCH):  # a few at a time: a thousand results would fill the memory
        lr, hr = data.pairs(pixels[start : start + BATCH])
        for name, upscale in upscalers.items():
            table[name].append(metrics.evaluate(lr, hr, upscale(lr), features))
        if report and (start + BATCH) % 100 == 0:
            report(f"{min(start + BATCH, len(pixels))} of {len(pixels)} faces")
    return {
        name: {metric: np.concatenate([part[metric] for part in parts]) for metric in parts[0]}
        for name, parts in table.items()
    }


def _remembering(features):
    """The same function, which keeps its last two answers: every method asks for the reference's features."""

    @functools.lru_cache(maxsize=2)
    def answer(content, shape):
        return features(np.frombuffer(content, "float32").reshape(shape))

    def remembering(images):
        return answer(images.tobytes(), images.shape)

    remembering.output_names = features.output_names
    return remembering


def ladder(pixels, features=None, results=None):
    """The ladder as a table: one dict a method, evaluated on HR images.

    Keys: method; n, the number of images; for every metric of `METRICS` its mean, `_low` and `_high` of its
    bootstrap 95% interval, and `_ties`: the methods from which it does not differ significantly, image by image
    (`metrics.paired_interval`); psnr_gain, the paired difference to bicubic, with its interval; frechet and
    frechet_floor, see `frechet_of_halves`; what `cost` returns; the source of the features.
    pixels: uint8 (N, 128, 128, 3). features: the model of `losses.vgg_features`, or None. results: what
    `scores` returned for these images, if it has been called already.
    """
    results = results or scores(pixels, features)
    present = [metric for metric in METRICS if metric in results["bicubic"]]
    ties = {metric: _ties({name: columns[metric] for name, columns in results.items()}) for metric in present}
    rows = []
    for name, columns in results.items():
        row = {"method": name, "n": len(pixels)}
        for metric in present:
            low, high = metrics.bootstrap_interval(columns[metric])
            row |= {metric: float(columns[metric].mean()), f"{metric}_low": low, f"{metric}_high": high}
            row[f"{metric}_ties"] = " ".join(ties[metric][name])
        gain = metrics.paired_interval(results["bicubic"]["psnr"], columns["psnr"])
        row |= dict(zip(("psnr_gain", "psnr_gain_low", "psnr_gain_high"), gain))
        if "pooled_sr" in columns:
            row["frechet"], row["frechet_floor"] = frechet_of_halves(columns["pooled_hr"], columns["pooled_sr"])
        rows.append(row | cost(name) | {"features": features.source if features else ""})
    return rows


def _ties(columns):
    """For every method the others whose paired 95% interval of the difference holds zero."""
    found = {name: [] for name in columns}
    for first, second in itertools.combinations(columns, 2):
        _, low, high = metrics.paired_interval(columns[first], columns[second])
        if low <= 0 <= high:
            found[first].append(second)
            found[second].append(first)
    return found


def frechet_of_halves(hr, sr, seed=0):
    """Frechet distance between the results of one half of the faces and the originals of the *other* half.

    hr, sr: what `metrics.pooled_features` returned, (N, D). Returns (distance, floor), means over `HALVINGS` random
    halvings; the floor is the distance of the originals of both halves, which is what a perfect method would get: so
    few faces cannot describe a distribution better. Two empty strings for fewer than D faces, where the floor hides
    the differences between methods.
    """
    if len(hr) < hr.shape[1]:
        return "", ""
    rng, found = np.random.default_rng(seed), []
    for _ in range(HALVINGS):
        first, second = np.array_split(rng.permutation(len(hr)), 2)
        found.append((metrics.frechet_distance(hr[first], sr[second]), metrics.frechet_distance(hr[first], hr[second])))
    distance, floor = np.mean(found, axis=0)
    return float(distance), float(floor)


def times(upscalers=None, repeats=7):
    """Milliseconds per face of every method on this machine, in batches of 20: one dict a method.

    The median of `repeats` calls after a first one, which compiles. Keys: method, ms_per_face, cores.
    """
    lr = data.pairs(np.resize(data.portraits(), (BATCH, data.HR_SIZE, data.HR_SIZE, 3)))[0]
    rows = []
    for name, upscale in (upscalers or methods()).items():
        upscale(lr)
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            upscale(lr)
            seconds.append(time.perf_counter() - start)
        rows.append({"method": name, "ms_per_face": 1000 * statistics.median(seconds) / BATCH, "cores": os.cpu_count()})
    return rows


def cost(name):
    """What a method costs: parameters, gflops of one 32x32 input, hours of training and images_seen (with those of
    the network it started from); trainings, how often it was trained, and seed_sd, the standard deviation of their
    validation PSNR in dB; sha256 of its weights.

    Further trainings with other seeds stand in the index as a list `val_psnr_repeats`; without one, seed_sd is empty.
    """
    if name in data.KERNELS:
        return {"parameters": 0, "gflops": 0.0, "hours": 0.0, "images_seen": 0, "trainings": 0, "seed_sd": "", "sha256": ""}
    from .models import gflops

    entry = info(name)
    hours, images = total_cost(name)
    repeats = entry.get("val_psnr_repeats", [])
    return {
        "parameters": entry["parameters"],
        "gflops": gflops(load(name)),
        "hours": hours,
        "images_seen": images,
        "trainings": 1 + len(repeats),
        "seed_sd": statistics.stdev([entry["val_psnr"], *repeats]) if repeats else "",
        "sha256": entry["sha256"],
    }


def total_cost(name):
    """Hours and images behind a network, with those of the network that its training started from."""
    entry = info(name)
    earlier = entry.get("recipe", {}).get("start")
    hours, images = total_cost(earlier) if earlier else (0.0, 0)
    return hours + entry["hours"], images + entry["images_seen"]


def read_table(name="ladder", folder=None):
    """A committed table as a list of dicts, numbers as floats.

    name: `ladder` (one row a method on CelebA's test faces, see `ladder`), `portraits` (the same on the two bundled
    portraits), `faces` (one row a test face: brightness, contrast, and the PSNR of every method) or `times` (see
    `times`). Raises `FileNotFoundError` that says how to make it.
    """
    path = pathlib.Path(folder or FOLDER) / f"{name}.csv"
    if not path.is_file():
        raise FileNotFoundError(f"the table {path.name} is missing; write it with: python -m srlib.pretrained --data FOLDER")
    with open(path, newline="") as file:
        return [{key: _number(field) for key, field in row.items()} for row in csv.DictReader(file)]


def stale(rows):
    """What in a table of `ladder` does not belong to the shipped networks: a list of sentences, empty if all is well.

    Compares the list of methods, and everything that `cost` returns, the weights' SHA-256 included.
    """
    wanted, found = [*data.KERNELS, *names()], [row["method"] for row in rows]
    reasons = [f"{name} is shipped and not in the table" for name in wanted if name not in found]
    for row in rows:
        if row["method"] not in wanted:
            reasons.append(f"{row['method']} is in the table and not shipped")
            continue
        for key, value in cost(row["method"]).items():
            if _number(_field(value)) != row.get(key):
                reasons.append(f"{row['method']}: {key} is {row.get(key)} in the table, {_field(value)} now")
    return reasons


def _number(field):
    try:
        return float(field)
    except ValueError:
        return field


def _field(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _write_table(path, rows):
    with runtime.replacing(path, "w") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _field(value) for key, value in row.items()} for row in rows)


def _faces(pixels, results):
    light = metrics.brightness_and_contrast(pixels)
    faces = [{"brightness": round(b, 4), "contrast": round(c, 4)} for b, c in zip(*light)]
    for index, face in enumerate(faces):
        face.update({name: round(float(results[name]["psnr"][index]), 2) for name in results})
    return faces


def print_table(rows):
    """Print a table of `ladder`: quality, then cost. A `~` marks a mean that differs from another method's by no
    more than chance (paired 95% interval); the lines below the table name the pairs."""
    titles = {"psnr": "RGB dB", "psnr_y": "Y dB", "ssim": "SSIM", "feature_distance": "feature", "lr_consistency": "LR dB"}
    titles = {metric: title for metric, title in titles.items() if metric in rows[0]}
    quality = "".join(f"{title:>7} " for title in titles.values())
    print(f"{'':<16}{'RGB 95%':>12} {quality}{'Frechet':>8}{'Mparam':>7}{'GFLOP':>6}{'hours':>6}{'images':>10}")
    ties = {}
    for row in rows:
        line = f"{row['method']:<16}{row['psnr_low']:6.2f}-{row['psnr_high']:.2f} "
        for metric in titles:
            digits = 3 if metric in ("ssim", "feature_distance") else 2
            line += f"{row[metric]:7.{digits}f}{'~' if row[f'{metric}_ties'] else ' '}"
            for other in row[f"{metric}_ties"].split():
                ties.setdefault(metric, set()).add(" = ".join(sorted((row["method"], other))))
        frechet = row.get("frechet", "")
        line += f"{frechet:8.1f}" if frechet != "" else f"{'-':>8}"
        print(line + f"{row['parameters'] / 1e6:7.2f}{row['gflops']:6.2f}{row['hours']:6.2f}{row['images_seen']:10,.0f}")
    if rows[0].get("frechet_floor", "") != "":
        print(f"Frechet floor, real faces against other real faces: {rows[0]['frechet_floor']:.1f}")
    for metric, pairs in ties.items():
        print(f"~ no significant difference in {titles[metric]}: {', '.join(sorted(pairs))}")
    repeated = [f"{row['method']} {row['seed_sd']:.3f} dB" for row in rows if row["trainings"] > 1]
    print("standard deviation over trainings: " + (", ".join(repeated) if repeated else "unknown, every network was trained once"))


def markdown_table(rows):
    """A table of `ladder` as Markdown, as README and the model card show it; `~` marks ties as in `print_table`."""
    lines = [
        "| method | RGB PSNR, dB (95% interval) | over bicubic | Y PSNR, dB | SSIM | feature distance | Frechet distance "
        "| LR consistency, dB | parameters | hours | images seen |",
        "|---" * 11 + "|",
    ]
    for row in rows:
        tie = {metric: "~" if row[f"{metric}_ties"] else "" for metric in METRICS}
        frechet = f"{row['frechet']:.1f}" if row["frechet"] != "" else "-"
        lines.append(
            f"| {row['method']} | {row['psnr']:.2f}{tie['psnr']} ({row['psnr_low']:.2f} to {row['psnr_high']:.2f}) "
            f"| {row['psnr_gain']:+.2f} | {row['psnr_y']:.2f}{tie['psnr_y']} | {row['ssim']:.3f}{tie['ssim']} "
            f"| {row['feature_distance']:.3f}{tie['feature_distance']} | {frechet} "
            f"| {row['lr_consistency']:.1f}{tie['lr_consistency']} | {row['parameters']:,.0f} | {row['hours']:.2f} | {row['images_seen']:,.0f} |"
        )
    return "\n".join(lines)


def main(arguments=None):
    """Command line: evaluate the ladder and write ladder.csv, faces.csv, portraits.csv and times.csv."""
    parser = argparse.ArgumentParser(prog="python -m srlib.pretrained", description=main.__doc__)
    parser.add_argument("--data", help="a CelebA folder, or celeba; sample writes portraits.csv and times.csv only (default: SRLIB_DATA)")
    parser.add_argument("--count", type=int, help="evaluate this many test images (default: 1000)", default=1000)
    parser.add_argument("--folder", help="where to write the tables (default: beside the weights)")
    parser.add_argument("--times", action="store_true", help="write times.csv only, for a machine that is idle now")
    options = parser.parse_args(arguments)
    from . import losses

    folder, upscalers = pathlib.Path(options.folder or FOLDER), methods()
    if not options.times:
        limits = dataclasses.replace(runtime.PROFILES["full"], train_images=1, held_out_images=options.count)
        photos, features = data.load(options.data, limits), losses.vgg_features()
        print(f"{photos.description}; {len(photos.test)} test images, {len(upscalers)} methods", flush=True)
        rows = ladder(data.portraits(), features)
        _write_table(folder / "portraits.csv", rows)
        if photos.name != "sample":
            results = scores(photos.test, features, upscalers, report=functools.partial(print, flush=True))
            rows = ladder(photos.test, features, results)
            _write_table(folder / "ladder.csv", rows)
            _write_table(folder / "faces.csv", _faces(photos.test, results))
        print_table(rows)
    _write_table(folder / "times.csv", times(upscalers))


if __name__ == "__main__":
    main()
