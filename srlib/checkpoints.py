"""Save, restore, find the newest: what lets a training go on after a kill. Taught in chapter 06.

A checkpoint is TensorFlow's own (`tf.train.Checkpoint`): two files, `step-250.index` and
`step-250.data-00000-of-00001`, written aside and renamed, with a checksum of every tensor. What there is, the folder
says: no list beside them can be lost or damaged (that is why there is no `tf.train.CheckpointManager`).
"""

import json
import pathlib
import re

import numpy as np

from . import runtime
from .backend import tf

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # how TensorFlow calls the content of a variable in a checkpoint


class DamagedCheckpoint(ValueError):
    """A checkpoint that cannot be read to its end."""


def saved(folder):
    """The checkpoints of a folder, oldest first: paths without the ending, such as `FOLDER/step-250`.

    Only what `save` has named counts, ordered by the number; copies of yours under other names are not looked at.
    Raises `ValueError` for a folder of the former format (`.npz`).
    """
    folder = pathlib.Path(folder)
    steps = sorted(
        int(found[1])
        for path in folder.glob("step-*.index")
        if (found := re.fullmatch(r"step-([1-9][0-9]*)\.index", path.name))
    )
    if not steps and (old := sorted(folder.glob("step-*.npz"))):
        raise ValueError(
            f"{folder} holds checkpoints of the former format ({old[-1].name}), which this version of srlib "
            "cannot read; go on with the version that wrote them, or name another folder to begin anew"
        )
    return [folder / f"step-{step}" for step in steps]


def lock(folder):
    """Keep a training folder for this process, in a `with`. Raises `OSError` if another one trains there."""
    return runtime.locked(
        runtime.make_folder(folder) / "training.lock",
        f"another process is training in {folder}; wait until it ends, stop it, or name another folder",
    )


def save(folder, trainer, step, order, keep=2):
    """Write everything that training needs to go on exactly, as checkpoint number `step`; the last `keep` stay.

    That is `trainer.state()`: both networks, the EMA, both optimizers, the state of random layers. order: a dict that
    says how the batches were drawn. Raises `OSError` that says what to do if it cannot be written.
    """
    owner = json.dumps({"trainer": trainer.name, "variables": len(trainer.state()), "order": order})
    checkpoint = tf.train.Checkpoint(
        note=tf.Variable(owner, dtype=tf.string), state=[getattr(v, "value", v) for v in trainer.state()]
    )
    path = pathlib.Path(folder) / f"step-{step}"
    try:
        runtime.patiently(lambda: checkpoint.write(str(path)))
        for old in [path for path in saved(folder) if int(path.name[5:]) <= step][:-keep]:  # damaged ones may be newer
            for ending in (".index", ".data-00000-of-00001"):  # the index first: without it, the rest does not count
                runtime.patiently(lambda: pathlib.Path(f"{old}{ending}").unlink(missing_ok=True))
    except (OSError, tf.errors.OpError) as error:
        raise OSError(
            f"cannot write the checkpoint {path} ({error}); the earlier ones are intact: make room or name another "
            "folder, and start again to go on from the last"
        ) from error


def restore(path, trainer, order=None):
    """Restore a checkpoint, one of `saved`, into a compiled trainer.

    order: how batches will be drawn; if the checkpoint was written with another order, that is said. A learning
    rate that is a number, and no schedule, stays the trainer's own; if it was another one, that is said, too.
    Raises `ValueError` with the file's name if it is damaged (`DamagedCheckpoint`) or belongs to another network, and
    leaves the trainer untouched then; `OSError` if the drive does not answer.
    """
    path, variables = pathlib.Path(path), trainer.state()
    try:
        reader = tf.train.load_checkpoint(str(path))
        note = json.loads(reader.get_tensor("note" + VALUE))
        arrays = [reader.get_tensor(f"state/{index}{VALUE}") for index in range(note["variables"])]
    except (OSError, MemoryError, tf.errors.PermissionDeniedError, tf.errors.UnavailableError) as error:
        raise OSError(f"cannot read {path} now ({error})") from error
    except Exception as error:  # TensorFlow's many types, UnicodeDecodeError, KeyError: all mean a damaged file
        raise DamagedCheckpoint(f"the checkpoint {path} is damaged ({str(error).splitlines()[0][:160]})") from error
    if note["trainer"] != trainer.name or [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise ValueError(
            f"the checkpoint {path} was written by {note['trainer']!r} with {len(arrays)} variables, not by this "
            f"{trainer.name!r} with {len(variables)}; use another folder, or the same network and optimizer"
        )
    for name, now in (order or {}).items():
        if (before := note["order"].get(name, now)) != now:
            runtime.say(f"{name} is {now}, but was {before} when {path.name} was written: other batches from here on")
    for variable, array in zip(variables, arrays):
        if variable.path.endswith("/learning_rate") and array != (
            now := np.asarray(variable)
        ):  # a number: the caller's counts
            runtime.say(f"{variable.path} is {now:g}, but was {array:g} when {path.name} was written")
        else:
            variable.assign(array)


def resume(folder, trainer, order=None):
    """Restore the newest checkpoint of a folder that can be read; returns its step, 0 without any.

    A damaged one is named, and the next older one is taken; it stays until training comes past its
    number. What a kill has left half written is deleted. Raises `ValueError` if all are damaged, or if one belongs to
    another network.
    """
    parts = "step-[0-9]*_temp/part-*.tempstate*", "*.[0-9]*-??????.partial.*"  # TensorFlow's, ours
    for leftover in [path for pattern in parts for path in pathlib.Path(folder).glob(pattern)]:
        runtime.patiently(leftover.unlink)  # of a process that was killed while it wrote
    paths = saved(folder)
    for path in reversed(paths):
        try:
            restore(path, trainer, order)
        except DamagedCheckpoint as error:
            runtime.say(f"{error}; trying the one before")
            continue
        runtime.say(f"resumed at step {path.name[5:]} from {path.name}")
        return int(path.name[5:])
    if paths:
        names = ", ".join(path.name for path in reversed(paths))
        raise ValueError(f"every checkpoint in {folder} is damaged ({names}); delete them to start again from step 0")
    return 0
