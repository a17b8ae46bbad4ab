"""The trained ladder: networks that were trained on real faces, with their cards and histories."""

import hashlib
import io
import json
import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent / "weights"


def _index(folder=FOLDER):
    file = folder / "index.json"
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


def save(name, weights, entry, log, folder=FOLDER):
    """Write weights (list of arrays) as float16 `.npz` with an index entry, and the history `log` as CSV.

    The inverse of `load_arrays` and `history`; `log` is what `training.fit` returns.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{f"w{i:04d}": np.asarray(w, "float16") for i, w in enumerate(weights)})
    content = buffer.getvalue()
    (folder / f"{name}.npz").write_bytes(content)
    (folder / f"{name}.history.csv").write_text(_thin_csv(log))
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
