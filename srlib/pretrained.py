"""Trained networks, shipped ones and your own: names, facts, weights, histories. Used in chapters 00 and 05."""

import csv
import hashlib
import json
import pathlib

import numpy as np
from PIL import Image

from . import data, models, runtime
from .backend import keras

FOLDER = pathlib.Path(__file__).parent / "weights"


def _index(folder=None):
    file = (folder or FOLDER) / "index.json"
    return json.loads(file.read_text()) if file.exists() else {}


def names():
    """Names of the trained networks that are shipped, in the order of the benchmark."""
    index = _index()
    return [name for name in models.GENERATORS if name in index]


def info(name):
    """What is known of a network, shipped or in the folder of a training: parameters, recipe, cost, machine; a dict.

    Raises `ValueError` for an unknown one.
    """
    index = _index()
    return index[name] if name in index else json.loads(path_of(name).with_name("entry.json").read_text("utf-8"))


def path_of(name):
    """The file that `load` reads: shipped weights, or the Keras file of a training of yours.

    Raises `ValueError` that says what there is, if it is missing.
    """
    if name == "dcgan-repaired":
        raise ValueError("dcgan-repaired is dcgan now: the network as its author described it, with every activation")
    index, own = _index(), pathlib.Path(name).expanduser()
    path = FOLDER / index[name]["file"] if name in index else own / "ema.keras" if own.is_dir() else own
    if not path.is_file():
        raise ValueError(
            f"unknown network {str(name)!r}: there is no file {path}. Give the name of a shipped one "
            f"({', '.join(names())}; install srlib again if its file is missing), a file that Keras has saved, or the "
            "folder of a training, which holds one from its first checkpoint on"
        )
    return path


def digest(name):
    """The SHA-256 of what `load` reads; raises `ValueError` as `load`."""
    return hashlib.sha256(path_of(name).read_bytes()).hexdigest()


def load(name, precision="float32"):
    """Load a trained generator: float32 RGB in [0, 1], (N, h, w, 3) -> (N, 4h, 4w, 3), any h, w >= 8.

    name: of a shipped network, or your own: the folder of a training (its `ema.keras`), or any file that Keras saved.
    precision: `float32` or `mixed_bfloat16`. float32 gives the numbers of the table on every machine; what
    `runtime.best_precision` says is faster where there is bfloat16, and the mean PSNR stays within .02 dB.
    Shipped weights are a ZIP file, whose checksums tell damage; nothing in a file can execute (no pickle).
    Raises `ValueError` for an unknown name or precision or a damaged file.
    """
    path = path_of(name)
    with runtime.precision(precision):
        try:
            if name not in _index():
                return models.recast(keras.saving.load_model(path, compile=False), precision)
            model = models.GENERATORS[name]()
            with np.load(path, allow_pickle=False) as file:
                model.set_weights([file[key].astype("float32") for key in sorted(file.files)])
            return model
        except Exception as error:  # of many types
            raise ValueError(f"{path} is damaged, or no generator that srlib or Keras has saved ({error})") from error


def history(name):
    """The logged training of a network: dict of lists, one entry per 50 steps (means; None where not measured).

    Raises `FileNotFoundError` for a network that is not shipped.
    """
    return columns(read_rows(FOLDER / f"{name}.history.csv"))


def snapshots(name):
    """The bundled portraits as a network enlarged them in the course of its training.

    Returns a dict from the step to uint8 (2, 128, 128, 3): Eileen Collins and Grace Hopper. Raises `FileNotFoundError`
    if none were kept.
    """
    with Image.open(FOLDER / f"{name}.snapshots.png") as picture:
        steps = info(name)["snapshots"]
        tiles = np.asarray(picture.convert("RGB")).reshape(2, data.HR_SIZE, len(steps), data.HR_SIZE, 3)
    return dict(zip(steps, tiles.transpose(2, 0, 1, 3, 4)))


def save(name, weights, entry, log, folder=FOLDER, snapshots=None):
    """Write weights (list of arrays) as float16 `.npz`, an index entry, the history `log` as CSV, the snapshots as PNG.

    The inverse of `load`, `history` and `snapshots`; `log` is what `training.fit` returns, `snapshots` a dict
    step -> uint8 (2, 128, 128, 3).
    """
    folder = runtime.make_folder(folder)
    with runtime.replacing(folder / f"{name}.npz") as partial:
        np.savez_compressed(partial, **{f"w{i:04d}": np.asarray(w, "float16") for i, w in enumerate(weights)})
    write_rows(folder / f"{name}.history.csv", thinned(log))
    if snapshots:
        strip = np.concatenate(list(snapshots.values()), axis=2).reshape(-1, len(snapshots) * data.HR_SIZE, 3)
        with runtime.replacing(folder / f"{name}.snapshots.png") as partial:
            Image.fromarray(strip).save(partial, optimize=True)
        entry = {**entry, "snapshots": list(snapshots)}
    file = {"file": f"{name}.npz", "sha256": hashlib.sha256((folder / f"{name}.npz").read_bytes()).hexdigest()}
    with runtime.replacing(folder / "index.json") as partial:
        partial.write_text(json.dumps(_index(folder) | {name: file | entry}, indent=1) + "\n", newline="\n")


def thinned(log, every=50):
    """The rows of a history, one for every 50 steps: the mean of what was measured in them, and their last step."""

    def one(name, values):
        known = [value for value in values if value is not None]
        return known[-1] if name == "step" else float(f"{np.mean(known):.6g}") if known else None

    starts = range(0, len(log["step"]), every)  # the last row may stand for fewer steps
    return [{name: one(name, values[start : start + every]) for name, values in log.items()} for start in starts]


def interpolate(first, second, alpha):
    """A generator between two of the same architecture: weights (1 - alpha) first + alpha second.

    first, second: names, for example `facesr` and `facesr-gan`; alpha: 0 is the first, 1 the second
    (Wang et al. 2018, section 3.4). Raises `ValueError` for unlike architectures.
    """
    model = load(first)
    pair = model.get_weights(), load(second).get_weights()
    if [w.shape for w in pair[0]] != [w.shape for w in pair[1]]:
        raise ValueError(
            f"{first!r} and {second!r} differ in architecture; only weights of one architecture can be mixed"
        )
    model.set_weights([(1 - alpha) * a + alpha * b for a, b in zip(*pair)])
    return model


def read_table(name="benchmark", folder=None):
    """A table of `srlib evaluate` as a list of dicts, numbers as floats; without a folder, the shipped one.

    name: `benchmark` (one row a method on CelebA's test faces) or `faces` (one row a test face: what it is like, and
    the scores of every method).
    Raises `FileNotFoundError` for a table that is not there; `srlib evaluate` writes all of them.
    """
    return read_rows(pathlib.Path(folder or FOLDER) / f"{name}.csv")


def read_rows(path):
    """The rows of a CSV file as dicts: numbers as floats, empty fields as None."""
    with open(path, newline="", encoding="utf-8") as file:
        return [{key: number(field) for key, field in row.items()} for row in csv.DictReader(file)]


def write_rows(path, rows, needed=True):
    """Write dicts as a CSV file; None, and what a row lacks, becomes an empty field. needed: as in `replacing`."""
    with runtime.replacing(path, needed) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def columns(rows):
    """A list of dicts as a dict of lists; None for what a row lacks."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def number(field):
    """A field of a CSV file as a number, where it is one; None for an empty one."""
    try:
        return float(field)
    except ValueError:
        return field or None


__getattr__ = runtime.renamed(
    __name__, enlarge="inference.enlarge", ladder="commands.evaluate.benchmark",
    print_table="commands.evaluate.markdown_table", scores="commands.evaluate.scores",
)  # fmt: skip
