"""The trained ladder: networks that were trained on real faces, with their cards, histories and scores.

    python -m srlib.pretrained --data FOLDER

evaluates every rung on a data set's test images and writes the tables that chapter 05 draws.
"""

import argparse
import csv
import dataclasses
import functools
import hashlib
import io
import json
import pathlib
import statistics
import time

import numpy as np
from PIL import Image

from . import data, metrics, runtime

FOLDER = pathlib.Path(__file__).parent / "weights"
METRICS = ("psnr", "ssim", "psnr_y", "ssim_y", "feature_distance", "lr_consistency")
MAX_ENLARGE = 16_000_000  # pixels of a photo for `enlarge`: the result has sixteen times as many, 768 MB
BATCH = 20  # faces per call, for results and for times


def _index(folder=None):
    file = (folder or FOLDER) / "index.json"
    return json.loads(file.read_text()) if file.exists() else {}


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


def load(name):
    """Load a trained generator: float32 RGB in [0, 1], (N, h, w, 3) -> (N, 4h, 4w, 3), any h, w >= 8.

    The file's SHA-256 is compared with the index; nothing in it can execute (no pickle).
    Raises `ValueError` for an unknown name or a damaged file, `FileNotFoundError` for a missing one.
    """
    arrays = load_arrays(name)
    from . import models, runtime

    with runtime.precision("float32"):
        model = models.GENERATORS[name]()
    model.set_weights(arrays)
    return model


def load_arrays(name):
    """The verified weights of a network: a list of float32 arrays in Keras' order."""
    entry = info(name)
    path = FOLDER / entry["file"]
    if not path.is_file():
        raise FileNotFoundError(f"the weights {path.name} are missing; install srlib again")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise ValueError(f"the weights {path.name} are damaged (SHA-256 differs from the index); install srlib again")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return [file[key].astype("float32") for key in sorted(file.files)]


def history(name):
    """The logged training of a network: dict of lists, one entry per 50 steps (means; None where not measured)."""
    info(name)
    header, *lines = (FOLDER / f"{name}.history.csv").read_text().splitlines()
    columns = zip(*([float(field) if field else None for field in line.split(",")] for line in lines))
    return dict(zip(header.split(","), map(list, columns)))


def snapshots(name):
    """The bundled portraits as a network enlarged them in the course of its training.

    Returns a dict from the step to uint8 (2, 128, 128, 3): Eileen Collins and Grace Hopper.
    """
    steps = info(name)["snapshots"]
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
    (folder / f"{name}.npz").write_bytes(content)
    (folder / f"{name}.history.csv").write_text(_thin_csv(log))
    if snapshots:
        strip = np.concatenate(list(snapshots.values()), axis=2).reshape(-1, len(snapshots) * data.HR_SIZE, 3)
        Image.fromarray(strip).save(folder / f"{name}.snapshots.png", optimize=True)
        entry = {**entry, "snapshots": list(snapshots)}
    index = _index(folder)
    index[name] = {"file": f"{name}.npz", "sha256": hashlib.sha256(content).hexdigest(), **entry}
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")


def _thin_csv(log, every=50):
    lines = [",".join(log)]
    for end in range(every, len(log["step"]) + 1, every):
        row = []
        for key, values in log.items():
            known = [value for value in values[end - every : end] if value is not None]
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


def enlarge(photo, name="facesr-gan", tile=192, verbose="auto"):
    """Enlarge one photo of any size four times: uint8 (h, w, 3) -> uint8 (4h, 4w, 3).

    photo: the path of an image file, or uint8 (h, w, 3), h, w >= 8. name: of `names`. A large photo is cut into
    tiles of `tile` pixels that overlap by the network's receptive field, so that no seam can show; the memory
    needed grows by the result only. verbose: 0 silent, 1 a progress bar, "auto" a bar in a terminal.
    Raises `ValueError` for a photo of more than `MAX_ENLARGE` pixels, whose result would fill the memory.
    """
    from . import training

    photo = data.read_image(photo) if isinstance(photo, (str, pathlib.Path)) else data.check_pixels(photo, "photo", 3)
    height, width = photo.shape[:2]
    if height * width > MAX_ENLARGE:
        raise ValueError(f"the photo has {width}x{height} pixels; the limit is {MAX_ENLARGE:,}: crop it, or enlarge parts of it")
    result = np.empty((data.SCALE * height, data.SCALE * width, 3), "uint8")
    count = -(-height // tile) * -(-width // tile)
    bar = training.keras.utils.Progbar(count, unit_name="tile") if count > 1 and training.has_bar(verbose) else None
    for done, (y, x, sr) in enumerate(training.predict_tiles(load(name), photo, tile), start=1):
        y, x = data.SCALE * y, data.SCALE * x
        result[y : y + sr.shape[0], x : x + sr.shape[1]] = data.to_uint8(sr)
        if bar:
            bar.update(done)
    return result


# --- the evaluation --------------------------------------------------------------------------------


def methods():
    """Every method of the ladder by name, classical kernels first: functions lr -> sr on float32 batches."""
    from .training import predict

    table = {kernel: functools.partial(data.upscale, kernel=kernel) for kernel in data.KERNELS}
    return table | {name: functools.partial(predict, load(name)) for name in names()}


def scores(pixels, features=None, upscalers=None):
    """All metrics of all methods on HR images: dict method -> dict metric -> array (N,).

    pixels: uint8 (N, 128, 128, 3). features: the model of `losses.vgg_features`, or None. upscalers:
    what `methods` returned, if it has been called already.
    """
    upscalers = upscalers or methods()
    features = features and _remembering(features)
    table = {name: [] for name in upscalers}
    for start in range(0, len(pixels), BATCH):  # a few at a time: a thousand results would fill the memory
        lr, hr = data.pairs(pixels[start : start + BATCH])
        for name, upscale in upscalers.items():
            table[name].append(metrics.evaluate(lr, hr, upscale(lr), features))
    return {
        name: {metric: np.concatenate([part[metric] for part in parts]) for metric in parts[0]}
        for name, parts in table.items()
    }


def _remembering(features):
    """The same function, which keeps its last two answers: every method asks for the reference's features."""

    @functools.lru_cache(maxsize=2)
    def answer(content, shape):
        return features(np.frombuffer(content, "float32").reshape(shape))

    return lambda images: answer(images.tobytes(), images.shape)


def ladder(photos, features=None, results=None):
    """The ladder as a table: one dict a method, evaluated on `photos.test`.

    Keys: method, n; for every metric its mean, and `_low` and `_high` of its bootstrap 95% interval;
    psnr_gain, the paired difference to bicubic, with its interval; parameters, gflops and ms_per_face
    of one 32x32 input on this machine; hours of training and images_seen; the source of the features.
    results: what `scores` returned for these photos, if it has been called already.
    """
    results = results or scores(photos.test, features)
    lr = data.pairs(np.resize(photos.test[:BATCH], (BATCH, *photos.test.shape[1:])))[0]
    rows = []
    for name, upscale in methods().items():
        columns = {metric: results[name][metric] for metric in METRICS if metric in results[name]}
        columns["psnr_gain"] = columns["psnr"] - results["bicubic"]["psnr"]
        row = {"method": name, "n": len(photos.test)}
        for metric, values in columns.items():
            row[metric] = float(values.mean())
            row[f"{metric}_low"], row[f"{metric}_high"] = metrics.bootstrap_interval(values)
        row["ms_per_face"] = _milliseconds(upscale, lr)
        row |= _cost(name)
        row["features"] = features.source if features else ""
        rows.append(row)
    return rows


def _milliseconds(upscale, lr, repeats=7):
    upscale(lr)  # the first call traces and compiles
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        upscale(lr)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times) / len(lr)


def _cost(name):
    if name in data.KERNELS:
        return {"parameters": 0, "gflops": 0.0, "hours": 0.0, "images_seen": 0}
    from .models import gflops

    entry = info(name)
    hours, images = total_cost(name)
    return {"parameters": entry["parameters"], "gflops": gflops(load(name)), "hours": hours, "images_seen": images}


def total_cost(name):
    """Hours and images behind a network, with those of the network that its training started from."""
    entry = info(name)
    earlier = entry.get("recipe", {}).get("start")
    hours, images = total_cost(earlier) if earlier else (0.0, 0)
    return hours + entry["hours"], images + entry["images_seen"]


def read_table(name="ladder", folder=None):
    """A committed table as a list of dicts, numbers as floats: `ladder` (one row a method, see `ladder`)
    or `faces` (one row a test image: brightness, contrast, and the PSNR of every method).

    Raises `FileNotFoundError` that says how to make it.
    """
    path = pathlib.Path(folder or FOLDER) / f"{name}.csv"
    if not path.is_file():
        raise FileNotFoundError(f"the table {path.name} is missing; write it with: python -m srlib.pretrained --data FOLDER")
    with open(path, newline="") as file:
        return [{key: _number(field) for key, field in row.items()} for row in csv.DictReader(file)]


def _number(field):
    try:
        return float(field)
    except ValueError:
        return field


def _write_table(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})


def main(arguments=None):
    """Command line: evaluate the ladder and write ladder.csv and faces.csv."""
    parser = argparse.ArgumentParser(prog="python -m srlib.pretrained", description=main.__doc__)
    parser.add_argument("--data", help="sample, celeba or a folder (default: SRLIB_DATA)")
    parser.add_argument("--count", type=int, help="evaluate this many test images (default: 1000)", default=1000)
    parser.add_argument("--folder", help="where to write the tables (default: beside the weights)")
    options = parser.parse_args(arguments)
    from . import losses

    limits = dataclasses.replace(runtime.PROFILES["full"], train_images=1, held_out_images=options.count)
    photos = data.load(options.data, limits)
    print(f"{photos.description}; {len(photos.test)} test images, {len(methods())} methods", flush=True)
    features = losses.vgg_features()
    results = scores(photos.test, features)
    rows = ladder(photos, features, results)
    folder = pathlib.Path(options.folder or FOLDER)
    _write_table(folder / "ladder.csv", rows)
    light = metrics.brightness_and_contrast(photos.test)
    faces = [{"brightness": round(b, 4), "contrast": round(c, 4)} for b, c in zip(*light)]
    for index, face in enumerate(faces):
        face.update({name: round(float(results[name]["psnr"][index]), 2) for name in results})
    _write_table(folder / "faces.csv", faces)
    for row in rows:
        print(
            f"{row['method']:<17} PSNR {row['psnr']:.2f} dB RGB, {row['psnr_y']:.2f} dB Y  SSIM {row['ssim']:.3f}  "
            f"features {row['feature_distance']:.3f}  LR {row['lr_consistency']:.1f} dB  {row['ms_per_face']:.1f} ms"
        )


if __name__ == "__main__":
    main()
