"""Keras callbacks of one job each: history, guard, validation, report, saving, snapshots. Used in chapter 04.

They know no class of trainer: any Keras model will do that has `ema`, `generator` and `state`.
"""

import math
import pathlib
import re
import time
import traceback

import numpy as np

from . import checkpoints, data, inference, metrics, photos, pretrained, runtime

tf = runtime.load_tensorflow()
import keras


class History(keras.callbacks.Callback):
    """Keep what every step logs in `columns`, a dict name -> list; None where a quantity was not measured.

    Its own two columns are `step` and `seconds`: at the end of a lap, the seconds a step since the last one,
    with everything that is done between steps. start: steps that were done before this call of `fit`. steps: of the
    whole training. every: steps of a lap. folder: where a resumed training has left its `history.csv`.
    """

    def __init__(self, start, steps, every, folder=None):
        super().__init__()
        self.start, self.steps, self.every = start, steps, every
        self.columns = read_history(pathlib.Path(folder) / "history.csv", start) if folder and start else {}

    def step(self, batch):
        """The number of the step, from 1 on, that Keras calls batch number `batch` of this call of `fit`."""
        return self.start + batch + 1

    def ends(self, batch):
        """Whether a lap ends with this batch."""
        return self.step(batch) % self.every == 0 or self.step(batch) == self.steps

    def on_train_begin(self, logs=None):
        self.lap = (self.start, time.perf_counter())

    def on_train_batch_end(self, batch, logs=None):
        step = self.step(batch)
        logs["seconds"] = None
        if self.ends(batch):
            first, started = self.lap
            self.lap = (step, time.perf_counter())
            logs["seconds"] = (self.lap[1] - started) / (step - first)
        for name, value in {**logs, "step": step}.items():
            column = self.columns.setdefault(name, [])
            column.extend([None] * (step - 1 - len(column)))  # a quantity that an earlier run did not log
            column.append(value if value is None or name == "step" else float(value))


class Guard(keras.callbacks.Callback):
    """Stop at the first value that is not finite, before anything is saved, and say where it began."""

    ORDER = "pixel lattice perceptual spectral adversarial d_loss".split()  # a loss is named before what it spoils

    def __init__(self, history, pixels, order, folder=None):
        super().__init__()
        self.history, self.pixels, self.order, self.folder = history, pixels, order, folder

    def on_train_batch_end(self, batch, logs=None):
        broken = sorted((name for name in logs if not math.isfinite(logs[name])), key=[*self.ORDER, *logs].index)
        if not broken:
            return
        others = ", ".join(broken[1:])
        saved = checkpoints.saved(self.folder) if self.folder else []
        after = (
            f"The last good checkpoint is {saved[-1].name}; remove the cause and call fit again, it goes on from there"
            if saved
            else "No checkpoint was kept (pass a folder)"
        )
        step, order = self.history.step(batch), self.order
        images = data.batch_at(self.pixels, step - 1, order["batch"], order["seed"], patch=order["patch"])
        raise FloatingPointError(
            f"step {step}: the term {broken[0]!r} became {float(logs[broken[0]])}"
            f"{others and f' (and with it {others})'}. "
            f"{origin(self.model, images)}. {after}. "
            "Usual causes: a learning rate that is too high, or a loss in half precision"
        )


def origin(trainer, images):
    """A sentence: which operation of a training step of these images is the first with a value that is not finite.

    The step is repeated, operation by operation, under `tf.debugging.enable_check_numerics`.
    """
    keras.config.disable_traceback_filtering()
    tf.debugging.enable_check_numerics()
    try:
        trainer.train_step(tuple(map(tf.constant, images)))
    except tf.errors.InvalidArgumentError as error:
        found = re.search(r'op "(\w+)"', error.message)
        frames = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
        names = [owner.name for owner in frames if isinstance(owner, keras.layers.Layer) and owner is not trainer]
        where = f"the layer {names[-1]!r} of {names[0]!r}" if names else "no layer, but a loss or the way back"
        return f"It begins in the operation {found[1] if found else 'unknown'}, in {where}"
    except Exception:  # for example of a trainer on several devices
        return "Which operation it begins in cannot be told: the step cannot be repeated alone"
    finally:
        tf.debugging.disable_check_numerics()
        keras.config.enable_traceback_filtering()
    return "Which operation it begins in cannot be told: repeated alone, the step stayed finite"


class Validation(keras.callbacks.Callback):
    """At the end of a lap: mean PSNR, RGB, of the EMA generator and of the raw one, on uint8 (N, 128, 128, 3)."""

    def __init__(self, history, val):
        super().__init__()
        self.history, self.pairs = history, data.pairs(val)

    def on_train_batch_end(self, batch, logs=None):
        if self.history.ends(batch):
            lr, hr = self.pairs
            for name, model in (("val_psnr", self.model.ema), ("val_psnr_raw", self.model.generator)):
                logs[name] = float(metrics.psnr(hr, inference.predict(model, lr)).mean())


class Report(keras.callbacks.Callback):
    """Say in a line at the end of a lap how far a training is: the losses of its last step, and the time left."""

    SHOWN = ("pixel", "perceptual", "adversarial", "d_real", "d_fake")

    def __init__(self, history, batch_size):
        super().__init__()
        self.history, self.batch_size = history, batch_size

    def on_train_batch_end(self, batch, logs=None):
        if self.history.ends(batch):
            step, steps = self.history.step(batch), self.history.steps
            words = "  ".join(f"{name} {logs[name]:.4f}" for name in self.SHOWN if name in logs)
            score = f"  val {logs['val_psnr']:.2f} dB" if "val_psnr" in logs else ""
            pace = logs["seconds"]
            speed = f"{self.batch_size / pace:.0f} images/s  {(steps - step) * pace / 60:.1f} min left"
            runtime.say(f"step {step:>5}/{steps}  {words}{score}  {speed}")


class Saving(keras.callbacks.Callback):
    """At the end of a lap: the history as `history.csv`, the EMA generator as `ema.keras`, and a checkpoint."""

    def __init__(self, history, folder, order, keep):
        super().__init__()
        self.history, self.folder, self.order, self.keep = history, pathlib.Path(folder), order, keep

    def on_train_batch_end(self, batch, logs=None):
        if self.history.ends(batch):
            write_history(self.folder / "history.csv", self.history.columns)
            checkpoints.save(self.folder, self.model, self.history.step(batch), self.order, self.keep)
            with runtime.replacing(self.folder / "ema.keras") as partial:
                self.model.ema.save(partial)


def write_history(path, columns):
    """Write a history as CSV, a row a step; an empty field where a quantity was not measured.

    Where the file cannot be written, for example because a spreadsheet has it open, that is said, and training goes on:
    the next lap writes all rows again.
    """
    try:
        pretrained.write_columns(path, columns)
    except OSError as error:
        runtime.say(f"cannot write {path} now ({error}); is it open in another program? The next report tries again")


def read_history(path, steps):
    """The first `steps` rows of what `write_history` wrote, as columns; none where the file is missing."""
    columns = pretrained.read_columns(path) if pathlib.Path(path).exists() else {}
    return {name: [int(v) if name == "step" else v for v in column[:steps]] for name, column in columns.items()}


class Snapshots(keras.callbacks.Callback):
    """Enlarge the bundled portraits at some steps; a file each in `folder`, so that a resume keeps them."""

    def __init__(self, folder, moments):
        super().__init__()
        self.folder, self.moments = pathlib.Path(folder), set(moments)

    def on_train_begin(self, logs=None):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lr = data.pairs(photos.portraits())[0]
        self.on_train_batch_end(None)  # a kill between the checkpoint and the picture

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.optimizer.iterations)
        if step and step in self.moments:
            with runtime.replacing(self.folder / f"{step:07d}.npy") as partial:
                np.save(partial, data.to_uint8(inference.predict(self.model.ema, self.lr)))

    def pictures(self):
        """What was kept: a dict from the step to uint8 (2, 128, 128, 3)."""
        files = [file for file in sorted(self.folder.glob("*.npy")) if int(file.stem) in self.moments]
        return {int(file.stem): np.load(file) for file in files}
