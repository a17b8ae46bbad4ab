"""Two-stage training: pixels first, then the adversarial game; resumable; one command per rung.

    python -m srlib.training facesr --folder runs/facesr

trains a rung of the ladder by its recipe, or goes on where an earlier call was interrupted.
"""

import argparse
import csv
import dataclasses
import functools
import itertools
import json
import math
import os
import pathlib
import sys
import time

import numpy as np

from . import data, losses, metrics, models, pretrained, runtime

tf = runtime.load_tensorflow()
import keras  # noqa: E402
from keras import ops  # noqa: E402
from tensorflow.python.ops import gen_math_ops  # noqa: E402

# --- the same digits every time --------------------------------------------------------------------

# This graph rewriter reorders sums by the names of the nodes: two equal trainers in one process would
# differ in the last digit, and so would a resumed training.
tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


def add_in_order(inputs, name=None):
    """The sum of tensors, two at a time, from the first to the last.

    Where gradients meet in one tensor (a residual block, BatchNorm), GradientTape adds them by AddN, which
    starts with whichever input nobody else needs any more: from three inputs on, the last digit depends on
    the moment. There is no switch for it, not even `enable_op_determinism`, so we replace what the tape calls.
    """
    if inputs[0].dtype == tf.variant:  # lists of tensors, in the gradients of loops
        return tf.raw_ops.AddN(inputs=inputs, name=name)
    return functools.reduce(lambda total, term: tf.raw_ops.AddV2(x=total, y=term), inputs)


gen_math_ops.add_n = add_in_order


# --- pieces of a step ------------------------------------------------------------------------------


def cosine_schedule(peak, steps):
    """Learning rate that rises from 0 to `peak` in the first steps, then falls along half a cosine towards 0.

    Keras counts the `steps` of the fall from the end of the warm-up, so the last rate is small, but not 0.
    """
    if peak < 0 or steps < 1:
        raise ValueError(f"peak is {peak} and steps {steps}; expected a learning rate >= 0 and steps >= 1")
    warmup = min(100, steps // 10)
    return keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=peak, warmup_steps=warmup)


def global_norm(tensors):
    """Length of a list of tensors, taken as one long vector, in float32."""
    squares = [ops.sum(ops.square(ops.cast(t, "float32"))) for t in tensors]
    return ops.sqrt(ops.sum(ops.stack(squares)))  # one sum: TensorFlow may reorder a chain of +, and digits with it


def apply_update(optimizer, gradients, weights):
    """Apply gradients; return the length of the change relative to the weights' (about 1e-3 is healthy).

    A change that is not finite is taken back, so that the guard can look at the weights that led to it.
    """
    before = [ops.copy(w) for w in weights]
    optimizer.apply(gradients, weights)
    size = global_norm([w - b for w, b in zip(weights, before)]) / global_norm(before)
    for w, b in zip(weights, before):
        w.assign(ops.where(ops.isfinite(size), w, b))
    return size


def scale_float16(optimizer, network, factor=1024.0):
    """Give `optimizer` a loss scale if `network` computes in float16, whose small gradients vanish otherwise.

    Keras multiplies the loss by it and divides the gradients (Micikevicius et al. 2018, section 3.2).
    """
    if network.compute_dtype == "float16" and optimizer.loss_scale_factor is None:
        optimizer.loss_scale_factor = factor


def update_ema(average, model, step, decay=0.999):
    """Move every weight of `average` a little towards `model`'s; early on by more, so that it catches up."""
    step = ops.cast(step, "float32")
    decay = ops.minimum(decay, (1.0 + step) / (10.0 + step))
    for slow, fast in zip(average.weights, model.weights):
        slow.assign(decay * slow + (1.0 - decay) * fast)


# --- the two trainers ------------------------------------------------------------------------------


class PixelTrainer(keras.Model):
    """Stage one: fit the generator to the HR image, pixel by pixel.

    generator: a model of `srlib.models`. loss: a function (hr, sr) -> scalar. `ema` is a second copy of
    the generator whose weights are the running average of its weights; it is the one to keep.
    """

    def __init__(self, generator, loss=losses.l1_loss, ema_decay=0.999):
        if not 0 <= ema_decay < 1:
            raise ValueError(f"ema_decay is {ema_decay}; expected a number in [0, 1), for example 0.999")
        super().__init__(name=f"{generator.name}_pixel", dtype="float32")  # only the networks are in half precision
        self.generator = generator
        self.ema = keras.models.clone_model(generator)
        self.ema.set_weights(generator.get_weights())
        self.pixel_loss = loss
        self.ema_decay = ema_decay

    def compile(self, optimizer):
        """optimizer: a Keras optimizer. Its slots are made now, so that a checkpoint has a place for them."""
        super().compile(optimizer=optimizer, jit_compile=False)  # XLA is slower on CPUs
        scale_float16(optimizer, self.generator)
        optimizer.build(self.generator.trainable_variables)

    def call(self, lr):
        return self.ema(lr, training=False)

    def train_step(self, batch):
        lr, hr = batch
        with tf.GradientTape() as tape:
            loss = self.pixel_loss(hr, self.generator(lr, training=True))
            scaled = self.optimizer.scale_loss(loss)  # differs from the loss in float16 only
        weights = self.generator.trainable_variables
        gradients = tape.gradient(scaled, weights)
        logs = {"pixel": loss, "g_gradient": global_norm(gradients) / self.optimizer.scale_loss(1.0)}
        logs["g_update"] = apply_update(self.optimizer, gradients, weights)
        update_ema(self.ema, self.generator, self.optimizer.iterations, self.ema_decay)
        return logs

    def state(self):
        """Every variable that training changes, in a fixed order: what a checkpoint holds."""
        return [*self.generator.variables, *self.ema.variables, *self.optimizer.variables]


class GANTrainer(PixelTrainer):
    """Stage two: the generator also has to convince a discriminator and to match VGG features.

    features: the model of `losses.vgg_features`, or None without a perceptual loss. pixel, perceptual, adversarial,
    matching: weights of the four terms of the generator's loss; a perceptual or matching term of weight 0 is not
    computed (nor is a lattice term). VGG and the discriminator, the dearest parts of a step, see one window of
    `window_size` pixels, at a new place every step. relativistic: the
    discriminator judges pairs, "the photo looks more real than the network's image of the same face", by the
    difference of its logits (Jolicoeur-Martineau 2019, eq. 7 and 8). Both networks are updated from one forward pass
    each (simultaneous gradient descent): two losses, two sets of gradients, no overlap. label_smoothing: width s of
    random labels, drawn anew for every image: real in [1 - s, 1], fake in [0, s] (after Salimans et al. 2016, section
    3.4); seed: of these labels and of the windows, which are functions of (seed, step), so that a resume repeats them.
    """

    def __init__(
        self, generator, discriminator, features=None, loss=losses.l1_loss,
        pixel=1.0, perceptual=1.0, adversarial=0.01, matching=0.0, lattice=0.0,
        ema_decay=0.999, window_size=64, relativistic=False, label_smoothing=0.0, seed=0,
    ):  # fmt: skip
        super().__init__(generator, loss, ema_decay)
        if perceptual and features is None:
            raise ValueError("a perceptual weight needs `features`; pass losses.vgg_features() or perceptual=0")
        self.discriminator = discriminator
        hidden = [layer.output for layer in discriminator.layers if isinstance(layer, keras.layers.LeakyReLU)]
        self.judge = keras.Model(discriminator.inputs, [discriminator.output, *hidden])
        self.features = features
        self.window_size = window_size
        self.relativistic = relativistic
        self.label_smoothing = label_smoothing
        self.seed = seed
        self.weights_of = {
            "pixel": pixel, "lattice": lattice, "perceptual": perceptual, "adversarial": adversarial, "matching": matching,
        }  # fmt: skip

    def compile(self, optimizer, d_optimizer):
        """optimizer, d_optimizer: Keras optimizers of the generator and of the discriminator."""
        super().compile(optimizer)
        self.d_optimizer = d_optimizer
        scale_float16(d_optimizer, self.discriminator)
        d_optimizer.build(self.discriminator.trainable_variables)

    def train_step(self, batch):
        lr, hr = batch
        with tf.GradientTape(persistent=True) as tape:
            sr = self.generator(lr, training=True)
            real, fake = self.window(hr, sr)
            real_logits, *real_hidden = self.judge(real, training=True)
            fake_logits, *fake_hidden = self.judge(fake, training=True)
            if self.relativistic:
                real_logits, fake_logits = real_logits - fake_logits, fake_logits - real_logits
            ones, zeros, wanted = self.labels(len(real_logits.shape), tf.shape(real_logits)[0])
            d_loss = losses.discriminator_loss(real_logits, fake_logits, ones, zeros)
            terms = {"pixel": self.pixel_loss(hr, sr)}
            if self.weights_of["lattice"]:
                terms["lattice"] = losses.lattice_loss(hr, sr)
            terms |= self.window_terms(real, fake, fake_logits, wanted, real_hidden, fake_hidden)
            g_loss = sum(self.weights_of[name] * term for name, term in terms.items())
            g_scaled, d_scaled = self.optimizer.scale_loss(g_loss), self.d_optimizer.scale_loss(d_loss)
        g_weights, d_weights = self.generator.trainable_variables, self.discriminator.trainable_variables
        g_gradients, d_gradients = tape.gradient(g_scaled, g_weights), tape.gradient(d_scaled, d_weights)
        del tape
        logs = {**terms, "d_loss": d_loss}
        logs["d_real"], logs["d_fake"] = ops.mean(ops.sigmoid(real_logits)), ops.mean(ops.sigmoid(fake_logits))
        logs["g_gradient"] = global_norm(g_gradients) / self.optimizer.scale_loss(1.0)
        logs["d_gradient"] = global_norm(d_gradients) / self.d_optimizer.scale_loss(1.0)
        logs["g_update"] = apply_update(self.optimizer, g_gradients, g_weights)
        logs["d_update"] = apply_update(self.d_optimizer, d_gradients, d_weights)
        update_ema(self.ema, self.generator, self.optimizer.iterations, self.ema_decay)
        return logs

    def window_terms(self, real, fake, fake_logits, wanted, real_hidden, fake_hidden):
        """The generator's loss terms that look at the window, by name, unweighted scalars."""
        terms = {"adversarial": losses.generator_loss(fake_logits, wanted)}
        if self.weights_of["perceptual"]:
            terms["perceptual"] = losses.perceptual_loss(self.features, real, fake)
        if self.weights_of["matching"]:
            terms["matching"] = losses.feature_matching_loss(real_hidden, fake_hidden)
        return terms

    def window(self, *images):
        """The same square of every image; its place is a function of the step, so that a resume repeats it."""
        side = min(self.window_size, images[0].shape[1])
        step = ops.cast(self.optimizer.iterations, "int32")
        y, x = tf.unstack(tf.random.stateless_uniform([2], [step, self.seed], 0, images[0].shape[1] - side + 1, "int32"))
        return [image[:, y : y + side, x : x + side] for image in images]

    def labels(self, rank, batch):
        """One random label per image, float32 (batch, 1, ...) of that rank: of photos, of results, and what G wants."""
        step = ops.cast(self.optimizer.iterations, "int32")
        noise = self.label_smoothing * tf.random.stateless_uniform([3, batch, *[1] * (rank - 1)], [step, self.seed + 1])
        return 1.0 - noise[0], noise[1], 1.0 - noise[2]

    def state(self):
        return [*super().state(), *self.discriminator.variables, *self.d_optimizer.variables]


# --- checkpoints -----------------------------------------------------------------------------------


class DamagedCheckpoint(ValueError):
    """A checkpoint file that cannot be read to its end."""


def save_checkpoint(path, trainer, step, history, order=None):
    """Write everything that training needs to go on exactly: variables, step, history; one `.npz` file.

    The variables include the EMA, both optimizers and the state of random layers. order: a dict that says
    how the batches were drawn. The file is written beside its place and then renamed, so that a kill leaves
    the old one intact. Raises `OSError` that says what to do if it cannot be written.
    """
    path = pathlib.Path(path)
    arrays = {f"v{i:04d}": np.asarray(v) for i, v in enumerate(trainer.state())}
    owner = {"trainer": trainer.name, "kind": type(trainer).__name__}
    note = json.dumps({"step": step, "history": history, "order": order, **owner})
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            np.savez(file, note=np.array(note), **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(f"cannot write the checkpoint {path} ({error}); {WRITE_HELP}") from error


WRITE_HELP = "the earlier ones are intact: make room or name another folder, and call fit again to go on from the last"


def load_checkpoint(path, trainer, order=None):
    """Restore a checkpoint into a compiled trainer; returns (step, history).

    order: how batches will be drawn; if the checkpoint was written with another order, that is said. A learning
    rate that is a number, and no schedule, stays the trainer's own; if it was another one, that is said, too.
    Raises `ValueError` with the file's name if it is damaged (`DamagedCheckpoint`; the archive holds a
    checksum of every array) or belongs to another network, and leaves the trainer untouched then.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            note = json.loads(str(file["note"]))
            arrays = [file[name] for name in sorted(file.files) if name != "note"]
    except (OSError, MemoryError):  # no file, no permission, a drive that has gone: the file may be whole
        raise
    except Exception as error:  # zip, CRC, JSON and NumPy errors all mean a damaged file
        raise DamagedCheckpoint(f"the checkpoint {path} is damaged ({error})") from error
    variables = trainer.state()
    owner = (note.get("trainer"), note.get("kind", type(trainer).__name__))
    ours = (trainer.name, type(trainer).__name__)
    if owner != ours or [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise ValueError(
            f"the checkpoint {path} was written by {owner[1]} {owner[0]!r} with {len(arrays)} variables, not by this "
            f"{ours[1]} {ours[0]!r} with {len(variables)}; use another folder, or the same network and optimizer"
        )
    for name, now in (order or {}).items():
        before = (note.get("order") or {}).get(name, now)
        if before != now:
            print(f"{name} is {now}, but was {before} when {pathlib.Path(path).name} was written: other batches from here on")
    for variable, array in zip(variables, arrays):
        if variable.path.endswith("/learning_rate") and array != (now := np.asarray(variable)):  # a number: the caller's counts
            print(f"{variable.path} is {now:g}, but was {array:g} when {pathlib.Path(path).name} was written")
            continue
        variable.assign(array)
    return note["step"], note["history"]


def resume(folder, trainer, order=None):
    """Restore the newest checkpoint of a folder that can be read; returns (step, history), (0, {}) without any.

    A damaged file is named, renamed to `.damaged`, and the next older one is taken. Raises `ValueError` if all
    are damaged, or if one belongs to another network.
    """
    damaged = []
    for path in reversed(checkpoints(folder)):
        try:
            step, history = load_checkpoint(path, trainer, order)
        except DamagedCheckpoint as error:
            print(f"{error}; trying the one before")
            damaged.append(path)
            continue
        for bad in damaged:
            bad.rename(bad.with_name(bad.name + ".damaged"))
        print(f"resumed at step {step} from {path.name}")
        return step, history
    if damaged:
        names = ", ".join(path.name for path in damaged)
        raise ValueError(f"every checkpoint in {folder} is damaged ({names}); delete them to start again from step 0")
    return 0, {}


def checkpoints(folder):
    """Checkpoint files of a folder, oldest first; none if there is no such folder."""
    if pathlib.Path(folder).is_file():
        raise ValueError(f"{folder} is a file; expected the folder of a training's checkpoints")
    return sorted(pathlib.Path(folder).glob("step-*.npz"))


# --- the loop --------------------------------------------------------------------------------------


def fit(
    trainer, pixels, steps, batch, val=None, folder=None, seed=0, every=100, patch=data.HR_SIZE, keep=2,
    verbose="auto", callbacks=(),
):  # fmt: skip
    """Train for `steps` batches and return the history, a dict of lists with one entry a step.

    trainer: a compiled `PixelTrainer` or `GANTrainer`. pixels, val: uint8 HR images (N, 128, 128, 3).
    Every `every` steps: PSNR of the EMA generator on `val`, a report, and, with a `folder`, the history as
    `history.csv` and a checkpoint, of which the last `keep` stay. If `folder` holds one, training goes on from
    there, and on a CPU ends with the same bits as if it had never stopped. verbose: as in Keras, 0 silent,
    1 a progress bar, 2 a line at every report; "auto" is a bar in a terminal, else lines (a bar would fill a
    notebook or a log file). callbacks: Keras callbacks, called after our own, for example, after
    `pip install tensorboard`, `keras.callbacks.TensorBoard(folder, update_freq=10)`.

    Raises `FloatingPointError` at the first step with a loss, gradient or update that is not finite, before
    it is saved; `OSError` if a checkpoint cannot be written; `ValueError` for bad arguments, a foreign checkpoint,
    or a folder in which all are damaged.
    """
    _check_arguments(trainer, pixels, steps, batch, val, every, keep, verbose)
    order = {"seed": seed, "batch": batch, "patch": patch, "images": len(pixels)}
    start, history = resume(folder, trainer, order) if folder else (0, {})
    if start >= steps:
        return history
    dataset = data.batches(pixels, batch, steps, seed=seed, start=start, patch=patch)
    recorder = _Recorder(history, start, steps, val, folder, every, keep, verbose, order, pixels)
    trainer.fit(dataset, shuffle=False, verbose=0, callbacks=[recorder, *callbacks])
    return history


def _check_arguments(trainer, pixels, steps, batch, val, every, keep, verbose):
    if not isinstance(trainer, PixelTrainer) or not getattr(trainer, "optimizer", None):
        raise ValueError(f"trainer is {trainer!r}; expected a compiled PixelTrainer or GANTrainer")
    data.check_pixels(pixels)
    if val is not None:
        data.check_pixels(val, "val")
    for name, value in {"steps": steps, "batch": batch, "every": every, "keep": keep}.items():
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a whole number, at least 1")
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose is {verbose!r}; expected 'auto', 0 (silent), 1 (a bar) or 2 (lines)")


def has_bar(verbose):
    """Whether `verbose` asks for a progress bar: 1, or "auto" in a terminal."""
    return verbose == 1 or (verbose == "auto" and sys.stdout.isatty())


class _Recorder(keras.callbacks.Callback):
    """Keep the history, guard against NaN, validate, report, and save."""

    SHOWN = ("pixel", "perceptual", "adversarial", "d_real", "d_fake")

    def __init__(self, history, start, steps, val, folder, every, keep, verbose, order, pixels):
        super().__init__()
        self.history, self.step, self.steps, self.order, self.pixels = history, start, steps, order, pixels
        self.folder, self.every, self.keep, self.verbose = folder and pathlib.Path(folder), every, keep, verbose
        self.val = data.pairs(val) if val is not None else None
        self.start = start
        names = [*self.SHOWN, "val_psnr"]
        self.bar = keras.utils.Progbar(steps - start, stateful_metrics=names, interval=0.5) if has_bar(verbose) else None

    def on_train_begin(self, logs=None):
        self.lap_started = time.perf_counter()
        self.lap_steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.lap_steps += 1
        broken = [name for name, value in logs.items() if not math.isfinite(value)]
        if broken:
            raise FloatingPointError(self.explain(broken, logs))
        for name, value in logs.items():
            self.log(name, float(value))
        at_lap_end = self.step % self.every == 0 or self.step == self.steps
        seconds = time.perf_counter() - self.lap_started
        self.log("step", self.step)
        self.log("seconds", seconds / self.lap_steps if at_lap_end else None)
        if self.val is not None:
            self.log("val_psnr", self.validate(self.model.ema) if at_lap_end else None)
            self.log("val_psnr_raw", self.validate(self.model.generator) if at_lap_end else None)
        if self.bar:
            self.bar.update(self.step - self.start, list(self.recent(20).items()))
        if at_lap_end:
            self.report(seconds)
            if self.folder:
                self.save()
            self.on_train_begin()

    def log(self, name, value):
        column = self.history.setdefault(name, [])
        column.extend([None] * (self.step - 1 - len(column)))  # a quantity that an earlier run did not log
        column.append(value)

    def save(self):
        save_checkpoint(self.folder / f"step-{self.step:07d}.npz", self.model, self.step, self.history, self.order)
        write_history(self.folder / "history.csv", self.history)
        parts = [*self.folder.glob("step-*.npz.partial"), *self.folder.glob("history.csv.*.partial")]  # of a kill
        for old in [*checkpoints(self.folder)[: -self.keep], *parts]:
            old.unlink()

    def explain(self, broken, logs):
        terms = ("pixel", "lattice", "perceptual", "matching", "adversarial", "d_loss")  # a loss is named before what it spoils
        first = next((name for name in terms if name in broken), broken[0])
        others = ", ".join(name for name in broken if name != first)
        saved = checkpoints(self.folder) if self.folder else []
        after = (
            f"The last good checkpoint is {saved[-1].name}; remove the cause and call fit again, it goes on from there"
            if saved
            else "No checkpoint was kept (pass a folder)"
        )
        order = self.order
        lr, hr = data.batch_at(self.pixels, self.step - 1, order["batch"], order["seed"], patch=order["patch"])
        return (
            f"step {self.step}: the term {first!r} became {float(logs[first])}{others and f' (and with it {others})'}. "
            f"{_origin(self.model, lr, hr, first in terms)}. {after}. "
            "Usual causes: a learning rate that is too high, a loss in half precision, or, in float16, a loss scale "
            "that is too high (compile again with a smaller loss_scale_factor)"
        )

    def validate(self, generator):
        lr, hr = self.val
        return float(metrics.psnr(hr, predict(generator, lr)).mean())

    def recent(self, steps):
        """Means of the last steps, by name."""
        known = {name: values[-steps:] for name, values in self.history.items() if name in self.SHOWN}
        means = {name: float(np.mean([v for v in values if v is not None])) for name, values in known.items()}
        scores = [score for score in self.history["val_psnr"] if score is not None] if self.val is not None else []
        return means | ({"val_psnr": scores[-1]} if scores else {})

    def report(self, seconds):
        if self.bar or not self.verbose:
            return
        rate = self.lap_steps * self.order["batch"] / seconds
        left = (self.steps - self.step) * seconds / self.lap_steps
        recent = self.recent(self.lap_steps)
        psnr = f"  val {recent.pop('val_psnr'):.2f} dB" if "val_psnr" in recent else ""
        words = "  ".join(f"{name} {value:.4f}" for name, value in recent.items())
        print(f"step {self.step:>5}/{self.steps}  {words}{psnr}  {rate:.0f} images/s  {left / 60:.1f} min left", flush=True)


def _origin(trainer, lr, hr, in_a_loss):
    """A sentence: where in the networks a step of these images first has a value that is not finite."""
    sr = trainer.generator(lr, training=True)
    passes = [("the generator", trainer.generator, lr)]
    if isinstance(trainer, GANTrainer):
        passes += [("the discriminator", trainer.discriminator, images) for images in (hr, sr)]
    for owner, network, images in passes:
        try:
            layers = [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
            outputs = keras.Model(network.input, [layer.output for layer in layers])(images, training=True)
        except (AttributeError, ValueError):
            return "Which layer it begins in cannot be told: a network is not made of layers with one output each"
        for layer, output in zip(layers, outputs):
            if not np.all(np.isfinite(ops.cast(output, "float32"))):
                return f"It begins in the layer {layer.name!r} of {owner}"
    if in_a_loss:
        return "The output of every layer is finite: it begins in the loss itself"
    slots = [*trainer.optimizer.variables, *getattr(trainer, "d_optimizer", trainer.optimizer).variables]
    spoiled = next((v.path for v in slots if not np.all(np.isfinite(ops.cast(v, "float32")))), None)
    where = f", as the optimizer's {spoiled!r} shows" if spoiled else ""
    return f"The output of every layer is finite: it begins in the way back, in a gradient{where}"


def write_history(path, history):
    """Write a history of `fit` as CSV: a row a step; an empty field where a quantity was not measured."""
    try:
        with runtime.replacing(path, "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(history)
            writer.writerows(itertools.zip_longest(*history.values()))
    except OSError as error:
        raise OSError(f"cannot write {path} ({error}); {WRITE_HELP}") from error


def advice(history):
    """What the health panel says, in words, from the last tenth of a history: a list of sentences.

    history: of `fit`. The rules and their limits are the table of chapter 04, section 8.
    """
    steps = len(history["step"])
    tenth = max(1, steps // 10)
    known = {name: np.array([np.nan if v is None else v for v in column]) for name, column in history.items()}
    late = {name: float(np.mean(column[-tenth:])) for name, column in known.items()}
    said = []
    for player, largest in (("g", 1e-2), ("d", 1e-1)):
        name, update, gradient = player.upper(), late.get(f"{player}_update"), known.get(f"{player}_gradient")
        if update is None:
            continue
        if update > largest:
            said.append(f"{name}'s update is {update:.0e} of its weights, above {largest:.0e}: divide its learning rate by ten.")
        if update < 1e-5:
            said.append(f"{name}'s update is {update:.0e} of its weights: it learns nothing; is its rate at its end, or too low?")
        if steps >= 20 and np.mean(gradient[-tenth:]) > 10 * np.median(gradient[:-tenth]):
            said.append(f"{name}'s gradient has grown tenfold: go back one checkpoint and halve its learning rate.")
    if "d_real" in late:
        real, fake = late["d_real"], late["d_fake"]
        if real > 0.95 and fake < 0.05:
            said.append(f"D(real) is {real:.2f}, D(fake) {fake:.2f}: D wins; lower its rate, use spectral norm, a longer stage one.")
        elif abs(real - fake) < 0.005:
            said.append(f"D(real) and D(fake) are both {real:.2f}: D is blind; change its rate, and look for faults in it.")
        elif real < fake:
            said.append(f"D(real) is {real:.2f}, below D(fake) {fake:.2f}: D is wrong; wait, then look for swapped labels.")
        elif not said:
            said.append(f"D(real) is {real:.2f}, D(fake) {fake:.2f}: a game. Let it run and look at the fixed faces.")
    return said or ["Nothing unusual: updates and gradients are in their ranges."]


# --- use ----------------------------------------------------------------------------------------------


def predict(model, lr, batch=20):
    """Apply a generator in batches. lr: float32 (N, h, w, 3) in [0, 1]; returns (N, 4h, 4w, 3), clipped.

    For one large photo, see `pretrained.enlarge`. Raises `ValueError` for another shape, or for images in
    another range, which a network would turn into plausible nonsense.
    """
    run, lr = _compiled(model), data.check_images(lr, "lr")
    if lr.ndim != 4 or min(lr.shape[1:3]) < SMALLEST or batch < 1:
        raise ValueError(
            f"lr has shape {lr.shape} and batch is {batch}; expected (N, h, w, 3) with h, w >= {SMALLEST}, and batch >= 1. "
            "For a single image, pass lr[None]"
        )
    parts = [run(tf.constant(lr[i : i + batch])).numpy() for i in range(0, len(lr), batch)]
    return np.clip(np.concatenate(parts), 0, 1)


def _compiled(model):
    if not hasattr(model, "_srlib_run"):
        signature = tf.TensorSpec((None, None, None, 3), "float32")
        run = functools.partial(model, training=False)  # no lambda: TensorFlow would count all models as one and warn
        model._srlib_run = tf.function(run, input_signature=[signature])
    return model._srlib_run


SMALLEST = 8  # pixels: a side of an LR image
POINTWISE = tuple(
    getattr(keras.layers, name) for name in "Activation ReLU LeakyReLU PReLU Add Concatenate Rescaling BatchNormalization UpSampling2D".split()
) + (models.PixelShuffle, models.ClipAtInference)  # fmt: skip


def reach(model):
    """How many LR pixels away, to each side, an input pixel can change an output pixel of a generator.

    Half of the receptive field, bounded from above by the sum over all layers: a kernel of width k at scale s
    reaches (k - 1) / 2s LR pixels. Raises `ValueError` for a layer whose reach is not known or not limited.
    """
    layers, side, total = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)], 64, 0.0
    shapes = keras.Model(model.inputs, [layer.output for layer in layers]).compute_output_shape((1, side, side, 3))
    for layer, shape in zip(layers, shapes):
        if isinstance(layer, keras.layers.Conv2DTranspose):
            total += max(layer.kernel_size) / shape[1] * side  # generous: it counts from the finer side
        elif isinstance(layer, keras.layers.Conv2D):
            total += (max(layer.kernel_size) // 2) * max(layer.dilation_rate) * side / (shape[1] * max(layer.strides))
        elif isinstance(layer, models.BicubicUpsampling):
            total += 2
        elif not isinstance(layer, POINTWISE):
            kind = type(layer).__name__
            raise ValueError(f"the reach of layer {layer.name!r} ({kind}) is not known: use `predict` on the whole image")
    return math.ceil(total)


def predict_tiles(model, image, side=192):
    """Upscale one image of any size in tiles, in bounded memory; yields (y, x, sr tile), LR position of its corner.

    image: uint8 or float32 in [0, 1], (h, w, 3). side: of a tile, in LR pixels; the tile that the network sees
    is larger by the network's `reach` on every side, as far as the image goes, so that a kept pixel never
    feels where its tile ends: together the tiles equal `predict` on the whole image up to rounding.
    """
    if image.ndim != 3 or min(image.shape[:2]) < SMALLEST or side < SMALLEST:
        raise ValueError(f"image has shape {image.shape}, side is {side}; expected (h, w, 3), and at least {SMALLEST} pixels a side")
    margin, scale = max(reach(model), SMALLEST), data.SCALE
    for y in range(0, image.shape[0], side):
        for x in range(0, image.shape[1], side):
            top, left = max(y - margin, 0), max(x - margin, 0)
            seen = image[top : y + side + margin, left : x + side + margin]
            seen = data.to_float(seen) if seen.dtype == np.uint8 else seen
            sr = predict(model, seen[None])[0, (y - top) * scale :, (x - left) * scale :]
            yield y, x, sr[: side * scale, : side * scale]


# --- recipes ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a rung of the ladder is trained. With a `discriminator`, it is an adversarial recipe."""

    steps: int
    batch: int = 16
    patch: int = data.HR_SIZE
    learning_rate: float = 5e-4
    schedule: str = "cosine"  # of the generator's learning rate: a key of SCHEDULES
    beta_1: float = 0.9  # of the generator's Adam
    beta_2: float = 0.99
    loss: str = "l1"
    start: str | None = None  # the weights to start from: a shipped network's name, or the path of an .npz
    discriminator: str | None = None
    d_optimizer: str = "adam"  # a key of D_OPTIMIZERS
    d_learning_rate: float | None = None  # constant; None: learning_rate
    label_smoothing: float = 0.0
    window: int = 64  # side of what the discriminator and VGG see
    pixel: float = 1.0
    perceptual: float = 0.0
    adversarial: float = 0.0
    matching: float = 0.0
    lattice: float = 0.0
    relativistic: bool = False


SCHEDULES = {"cosine": lambda recipe: cosine_schedule(recipe.learning_rate, recipe.steps), "constant": lambda recipe: recipe.learning_rate}

D_OPTIMIZERS = {
    "adam": lambda rate: keras.optimizers.Adam(rate, beta_1=0.5),
    "rmsprop": lambda rate: keras.optimizers.RMSprop(rate, clipvalue=1.0),
}

DCGAN = Recipe(  # as its author trained it: 0.8 MSE + 0.2 BCE, where 0.8 of the MSE in [-1, 1] are 3.2 of ours in [0, 1]
    steps=8_000, learning_rate=2e-4, schedule="constant", beta_1=0.5, beta_2=0.999, loss="mse", pixel=3.2, adversarial=0.2,
    discriminator="dcgan", d_optimizer="rmsprop", d_learning_rate=1e-4, label_smoothing=0.1, window=data.HR_SIZE,
)  # fmt: skip

RECIPES = {
    "srcnn": Recipe(steps=1_200, patch=64, learning_rate=1e-3, loss="mse"),
    "dcgan-published": dataclasses.replace(DCGAN, discriminator="dcgan-published"),
    "dcgan": DCGAN,
    "dcgan-mse": Recipe(steps=8_000, learning_rate=5e-4, loss="mse"),
    "dcgan-perceptual": Recipe(
        steps=3_000, learning_rate=1e-4, start="dcgan-mse", discriminator="dcgan", loss="mse",
        pixel=0.0, perceptual=1.0, adversarial=1e-2,
    ),
    "srresnet": Recipe(steps=20_000, patch=96, learning_rate=5e-4, loss="mse"),
    "srgan": Recipe(
        steps=600, learning_rate=1e-4, loss="mse", start="srresnet",
        discriminator="srgan", lattice=0.2, perceptual=0.05, adversarial=1e-3,
    ),
    "edsr": Recipe(steps=20_000, patch=96, learning_rate=5e-4),
    "facesr": Recipe(steps=26_000, patch=120, learning_rate=6e-4),
    "facesr-gan": Recipe(
        steps=7_000, patch=120, learning_rate=4e-4, start="facesr", discriminator="patch", relativistic=True,
        pixel=0.3, lattice=4.0, perceptual=1.0, adversarial=0.01,
    ),
    "facesr-light": Recipe(steps=8_000, learning_rate=1e-3),
    "facesr-light-gan": Recipe(
        steps=1_500, learning_rate=4e-4, start="facesr-light", discriminator="patch", relativistic=True,
        pixel=0.05, lattice=4.0, perceptual=1.0, adversarial=0.005,
    ),
}  # fmt: skip


def changed(recipe, words):
    """A recipe with some fields changed. words: a list of "key=value"; raises `ValueError` that lists what there is."""
    changes, types = {}, {field.name: field.type for field in dataclasses.fields(Recipe)}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in types or not equals:
            raise ValueError(f"{word!r} changes nothing in a recipe; expected key=value, with a key of: {', '.join(types)}")
        try:
            changes[key] = value == "True" if types[key] is bool else value if "str" in str(types[key]) else (int if types[key] is int else float)(value)
        except ValueError:
            raise ValueError(f"{word!r}: expected a number") from None
    recipe = dataclasses.replace(recipe, **changes)
    if min(recipe.steps, recipe.batch) < 1:
        raise ValueError(f"steps is {recipe.steps} and batch {recipe.batch}; both must be at least 1")
    return recipe


SNAPSHOTS = (0.005, 0.02, 0.1, 0.3, 1.0)  # shares of a training at which the bundled portraits are enlarged

DISCRIMINATORS = {
    "dcgan": models.dcgan_discriminator,
    "dcgan-published": lambda: models.dcgan_discriminator(published=True),
    "srgan": models.srgan_discriminator,
    "patch": models.patch_discriminator,
}


def build_trainer(name, recipe, start_weights=None, precision=None, seed=0):
    """The compiled trainer of a rung. start_weights: a list of arrays for the generator, or None.

    precision: one of `runtime.POLICIES`, default `runtime.best_precision()`. seed: of windows and smoothed labels.
    """
    with runtime.precision(precision or runtime.best_precision()):
        generator = models.GENERATORS[name]()
        if start_weights is not None:
            generator.set_weights(start_weights)
        loss = {"l1": losses.l1_loss, "mse": losses.mse_loss}[recipe.loss]
        optimizer = keras.optimizers.Adam(SCHEDULES[recipe.schedule](recipe), recipe.beta_1, recipe.beta_2)
        if recipe.discriminator is None:
            trainer = PixelTrainer(generator, loss)
            trainer.compile(optimizer)
            return trainer
        features = losses.vgg_features() if recipe.perceptual else None
        trainer = GANTrainer(
            generator, DISCRIMINATORS[recipe.discriminator](), features, loss,
            recipe.pixel, recipe.perceptual, recipe.adversarial, recipe.matching,
            lattice=recipe.lattice, relativistic=recipe.relativistic, window_size=recipe.window,
            label_smoothing=recipe.label_smoothing, seed=seed,
        )  # fmt: skip
        trainer.compile(optimizer, D_OPTIMIZERS[recipe.d_optimizer](recipe.d_learning_rate or recipe.learning_rate))
        return trainer


class _Snapshots(keras.callbacks.Callback):
    """Enlarge the bundled portraits at a few moments of a training; a file each in `folder`, so that a resume keeps them."""

    def __init__(self, folder, recipe):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.moments = {round(recipe.steps * share) for share in SNAPSHOTS}

    def on_train_begin(self, logs=None):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lr = data.pairs(data.portraits())[0]
        self.on_train_batch_end(None)  # a kill between the checkpoint and the picture

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.optimizer.iterations)
        if step and step in self.moments:
            with runtime.replacing(self.folder / f"{step:07d}.npy") as file:
                np.save(file, data.to_uint8(predict(self.model.ema, self.lr)))


def _claim(folder, recipe):
    """Note in a folder by which recipe it trains, and from which weights; refuse it if another one has begun there."""
    start = recipe.start and pretrained.digest(recipe.start)
    claim = json.dumps(dataclasses.asdict(recipe) | {"start_sha256": start}, indent=1)
    note = folder / "recipe.json"
    if checkpoints(folder) and note.exists() and note.read_text() != claim:
        raise ValueError(
            f"{folder} holds a training by another recipe or from another start (see recipe.json there); give another folder, "
            "or delete this one to begin anew"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with runtime.replacing(note, "w") as file:
        file.write(claim)


def train_rung(name, folder, recipe=None, photos=None, seed=0):
    """Train a rung by its recipe, resuming in `folder`. seed: of the first weights and of the order of the batches.

    Returns the weights of the EMA generator, the index entry, the history, and the snapshots: a dict from the step
    to the two bundled portraits enlarged at that step, uint8 (2, 128, 128, 3). Raises `ValueError` for a folder that
    holds a training by another recipe, or from other weights of `recipe.start`.
    """
    recipe = recipe or RECIPES[name]
    _claim(pathlib.Path(folder), recipe)
    photos = photos or data.load()
    start_weights = pretrained.load_arrays(recipe.start) if recipe.start else None
    keras.utils.set_random_seed(seed)
    trainer = build_trainer(name, recipe, start_weights, seed=seed)
    pictures = _Snapshots(pathlib.Path(folder) / "snapshots", recipe)
    history = fit(
        trainer, photos.train, recipe.steps, recipe.batch, photos.val[:100], folder, seed, every=250, patch=recipe.patch,
        callbacks=[pictures],
    )  # fmt: skip
    if history["step"][-1] != recipe.steps:
        raise ValueError(f"{folder} holds {history['step'][-1]:,} steps, the recipe says {recipe.steps:,}; give another folder")
    pictures.set_model(trainer)
    pictures.on_train_begin()  # `fit` has nothing to do any more after a kill at its very end
    lr, hr = data.pairs(photos.val)
    bicubic, ours = metrics.psnr(hr, data.upscale(lr)), metrics.psnr(hr, predict(trainer.ema, lr))
    pace = [pace for pace in history["seconds"] if pace is not None]
    devices = f"{runtime.gpu_count()} GPU" if runtime.gpu_count() else f"{os.cpu_count()} CPU cores"
    entry = {
        "parameters": trainer.generator.count_params(),
        "recipe": {key: value for key, value in dataclasses.asdict(recipe).items() if value},
        "data": f"{photos.name}, {len(photos.train):,} images",
        "images_seen": recipe.steps * recipe.batch,
        "hours": round(float(np.median(pace)) * recipe.steps / 3600, 3),  # a pause does not count
        "machine": f"{devices} ({runtime.processor()}), {runtime.best_precision()}",
        "val_psnr": round(float(ours.mean()), 3),
        "val_psnr_bicubic": round(float(bicubic.mean()), 3),
    }
    files = [file for file in sorted(pictures.folder.glob("*.npy")) if int(file.stem) in pictures.moments]  # not of another `--steps`
    snapshots = {int(file.stem): np.load(file) for file in files}
    return trainer.ema.get_weights(), entry, history, snapshots


def main(arguments=None):
    """Command line: train one rung of the ladder."""
    parser = argparse.ArgumentParser(prog="python -m srlib.training", description=main.__doc__)
    parser.add_argument("name", choices=RECIPES, help="rung of the ladder")
    parser.add_argument("--folder", help="for checkpoints, history and weights (default: SRLIB_HOME/runs/NAME)")
    parser.add_argument("--data", help="sample, celeba or a folder (default: SRLIB_DATA)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the recipe, for example steps=2000 adversarial=0.05")
    parser.add_argument("--seed", type=int, default=0, help="another one repeats a training, to see how far its result varies")
    parser.add_argument("--ship", action="store_true", help="also write into the package: the weights, or a repeat's validation PSNR")
    options = parser.parse_args(arguments)
    try:
        recipe = changed(RECIPES[options.name], options.set)
    except ValueError as error:
        parser.error(str(error))
    folder = pathlib.Path(options.folder or runtime.home() / "runs" / (options.name + (f"-seed{options.seed}" if options.seed else "")))
    folder.mkdir(parents=True, exist_ok=True)
    photos = data.load(options.data, runtime.PROFILES["full"])
    print(f"{options.name}: {recipe}\n{photos.description}; {runtime.best_precision()}", flush=True)
    weights, entry, history, snapshots = train_rung(options.name, folder, recipe, photos, options.seed)
    pretrained.save(options.name, weights, entry, history, folder / "weights", snapshots)
    if options.ship and options.seed:
        pretrained.save_repeat(options.name, entry["val_psnr"])
    elif options.ship:
        pretrained.save(options.name, weights, entry, history, pretrained.FOLDER, snapshots)
    print(json.dumps(entry, indent=1))


if __name__ == "__main__":
    main()
