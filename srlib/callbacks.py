"""Keras callbacks of one job each: history, guard, validation, report, saving, snapshots. Used in chapter 04.

They know no class of trainer: any Keras model will do that has `ema`, `generator` and `state`.
"""

import math
import pathlib
import time

import numpy as np

from . import checkpoints, data, inference, metrics, photos, pretrained, runtime
from .backend import keras


class History(keras.callbacks.Callback):
    """Keep what every step logs, a dict a step in `rows`.

    Its own entries are `step` and `seconds`: at the end of a lap, the seconds a step since the last one, with
    everything that is done between steps. start: steps that were done before this call of `fit`. steps: of the
    whole training. every: steps of a lap. folder: where a resumed training has left its `history.csv`.
    """

    def __init__(self, start, steps, every, folder=None):
        super().__init__()
        self.start, self.steps, self.every = start, steps, every
        file = pathlib.Path(folder or ".", "history.csv")
        earlier = pretrained.read_rows(file)[:start] if folder and file.exists() else []
        self.rows = [row | {"step": int(row["step"])} for row in earlier]

    @property
    def columns(self):
        """The rows as a dict of lists; None where a quantity was not measured."""
        return pretrained.columns(self.rows)

    def step(self, batch):
        """The number of the step, from 1 on, that Keras calls batch number `batch` of this call of `fit`."""
        return self.start + batch + 1

    def ends(self, batch):
        """Whether a lap ends with this batch."""
        return self.step(batch) % self.every == 0 or self.step(batch) == self.steps

    def on_train_begin(self, logs=None):
        self.lap = (self.start, time.perf_counter())

    def on_train_batch_end(self, batch, logs=None):
        if self.ends(batch):
            first, started = self.lap
            self.lap = (self.step(batch), time.perf_counter())
            logs["seconds"] = (self.lap[1] - started) / (self.lap[0] - first)
        self.rows.append({name: float(value) for name, value in logs.items()} | {"step": self.step(batch)})


class Guard(keras.callbacks.Callback):
    """Stop at the first value that is not finite, before anything is saved, and say which term it was."""

    ORDER = "pixel lattice perceptual spectral adversarial d_loss".split()  # a loss is named before what it spoils

    def __init__(self, history, folder=None):
        super().__init__()
        self.history, self.folder = history, folder

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
        raise FloatingPointError(
            f"step {self.history.step(batch)}: the term {broken[0]!r} became {float(logs[broken[0]])}"
            f"{others and f' (and with it {others})'}. {after}. Usual causes: a learning rate that is too high, or a "
            "loss in half precision. tf.debugging.enable_check_numerics(), called first, names the operation"
        )


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

    SHOWN = ("pixel", "perceptual", "adversarial", "d_real", "d_fake", "val_psnr")

    def __init__(self, history, batch_size):
        super().__init__()
        self.history, self.batch_size = history, batch_size

    def on_train_batch_end(self, batch, logs=None):
        if self.history.ends(batch):
            step, steps = self.history.step(batch), self.history.steps
            words = "  ".join(f"{name} {logs[name]:.4f}" for name in self.SHOWN if name in logs)
            pace = logs["seconds"]
            speed = f"{self.batch_size / pace:.0f} images/s  {(steps - step) * pace / 60:.1f} min left"
            runtime.say(f"step {step:>5}/{steps}  {words}  {speed}")


class Saving(keras.callbacks.Callback):
    """At the end of a lap: the history as `history.csv`, the EMA generator as `ema.keras`, and a checkpoint.

    Where one of the former cannot be written, that is said, and training goes on: the next lap writes it whole again.
    """

    def __init__(self, history, folder, order, keep):
        super().__init__()
        self.history, self.folder, self.order, self.keep = history, pathlib.Path(folder), order, keep

    def on_train_batch_end(self, batch, logs=None):
        if self.history.ends(batch):
            pretrained.write_rows(self.folder / "history.csv", self.history.rows, needed=False)
            checkpoints.save(self.folder, self.model, self.history.step(batch), self.order, self.keep)
            with runtime.replacing(self.folder / "ema.keras", needed=False) as partial:
                self.model.ema.save(partial)


class Snapshots(keras.callbacks.Callback):
    """Enlarge the bundled portraits at some steps; a file each in `folder`, so that a resume keeps them.

    It has to hear of a step before `Saving`: then a kill between the two repeats the step and its picture.
    """

    def __init__(self, folder, moments):
        super().__init__()
        self.folder, self.moments = runtime.make_folder(folder), set(moments)
        self.lr, _ = data.pairs(photos.portraits())

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.optimizer.iterations)
        if step in self.moments:
            with runtime.replacing(self.folder / f"{step:07d}.npy", needed=False) as partial:
                np.save(partial, data.to_uint8(inference.predict(self.model.ema, self.lr)))

    def pictures(self):
        """What was kept: a dict from the step to uint8 (2, 128, 128, 3)."""
        return {  # other files there are not ours
            step: np.load(path) for step in sorted(self.moments) if (path := self.folder / f"{step:07d}.npy").exists()
        }
