"""The two trainers, Keras models for plain `fit`: pixels first, then the adversarial game. Taught in chapter 04.

`fit` below adds what a long training wants: history, guard, validation, report and checkpoints.
"""

import contextlib

import numpy as np

from . import checkpoints, data, losses, runtime
from .backend import keras, tf
from .callbacks import Guard, History, Report, Saving, Validation

ops = keras.ops

# --- pieces of a step ------------------------------------------------------------------------------


def cosine_schedule(peak, steps):
    """Learning rate that rises from 0 to `peak` in the first steps, then falls along half a cosine towards 0.

    After Loshchilov and Hutter (2017, eq. 5), without restarts. Keras counts the `steps` of the fall from the end of
    the warm-up, so the last rate is small, but not 0. Raises `ValueError` for a negative peak or no step.
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


def update_ema(average, model, step, decay=0.999):
    """Move every weight of `average` a little towards `model`'s; early on by more, so that it catches up."""
    step = ops.cast(step, "float32")
    decay = ops.minimum(decay, (1.0 + step) / (10.0 + step))
    for slow, fast in zip(average.weights, model.weights):
        slow.assign(decay * slow + (1.0 - decay) * fast)


def random_window(images, side, seed):
    """The same square of `side` pixels of every image, at a place that depends on `seed` alone.

    images: a list of tensors (N, H, W, 3) of one size; the square is at most as large as they. seed: two integers,
    for example (step, random seed), so that a resumed training repeats its windows.
    """
    side = min(side, images[0].shape[1])
    y, x = tf.unstack(tf.random.stateless_uniform([2], seed, 0, images[0].shape[1] - side + 1, "int32"))
    return [image[:, y : y + side, x : x + side] for image in images]


def smooth_labels(logits, width, seed):
    """Labels for a discriminator's logits, one random number an image: (real, fake, real again for the generator).

    width: from 0 to 1. Real ones lie in [1 - width, 1], fake ones in [0, width] (after Salimans et al. 2016,
    section 3.4, whose labels are constants). seed: as in `random_window`. Each is float32 (N, 1, ...), of the rank of
    the logits. On several replicas of `tf.distribute`, each takes its rows of the global batch's labels.
    """
    count, context = tf.shape(logits)[0], tf.distribute.get_replica_context()
    shape = [3, count * context.num_replicas_in_sync, *[1] * (len(logits.shape) - 1)]
    first = count * context.replica_id_in_sync_group
    noise = width * tf.random.stateless_uniform(shape, seed)[:, first : first + count]
    return 1.0 - noise[0], noise[1], 1.0 - noise[2]


# --- the two trainers ------------------------------------------------------------------------------


class PixelTrainer(keras.Model):
    """Stage one: fit the generator to the HR image, pixel by pixel.

    generator: a model of `srlib.models`. loss: a function (hr, sr) -> scalar. `ema` is a second copy of
    the generator whose weights are the running average of its weights; it is the one to keep.
    """

    parts = "generator", "ema", "optimizer"  # what training changes: a checkpoint holds their variables

    def __init__(self, generator, loss=losses.l1_loss, ema_decay=0.999):
        super().__init__(name=f"{generator.name}_pixel", dtype="float32")  # only the networks are in half precision
        self.generator = generator
        self.ema = keras.models.clone_model(generator)
        self.ema.set_weights(generator.get_weights())
        self.pixel_loss, self.ema_decay = loss, ema_decay

    def compile(self, optimizer):
        """optimizer: a Keras optimizer. Its slots are made now, so that a checkpoint has a place for them."""
        super().compile(optimizer=optimizer, jit_compile=False)  # XLA is slower on CPUs
        optimizer.build(self.generator.trainable_variables)

    def call(self, lr):
        return self.ema(lr, training=False)

    def train_step(self, batch):
        lr, hr = batch
        weights = self.generator.trainable_variables
        with tf.GradientTape() as tape:
            loss = self.pixel_loss(hr, self.generator(lr, training=True))
        gradients = tape.gradient(loss, weights)
        update = apply_update(self.optimizer, gradients, weights)
        update_ema(self.ema, self.generator, self.optimizer.iterations, self.ema_decay)
        return {"pixel": loss, "g_gradient": global_norm(gradients), "g_update": update}

    def state(self):
        """Every variable that training changes, in a fixed order: what a checkpoint holds."""
        return [variable for part in self.parts for variable in getattr(self, part).variables]


class DCGANTrainer(PixelTrainer):
    """The DCGAN's game: the generator also has to convince a discriminator, by a weighted sum of two losses.

    discriminator: a model of `srlib.models`, from images to logits. pixel, adversarial: weights of the terms of the
    generator's loss. label_smoothing: see `smooth_labels`; seed: of what is drawn in a step. Both networks are updated
    from one forward pass each (simultaneous gradient descent): two losses, two sets of gradients, no overlap.
    """

    parts = (*PixelTrainer.parts, "discriminator", "d_optimizer")

    def __init__(
        self, generator, discriminator, loss=losses.mse_loss, pixel=3.2, adversarial=0.2, label_smoothing=0.1,
        ema_decay=0.999, seed=0,
    ):  # fmt: skip
        super().__init__(generator, loss, ema_decay)
        self.discriminator, self.label_smoothing, self.seed = discriminator, label_smoothing, seed
        self.loss_weights = {"pixel": pixel, "adversarial": adversarial}

    def compile(self, optimizer, d_optimizer):
        """optimizer, d_optimizer: Keras optimizers of the generator and of the discriminator."""
        super().compile(optimizer)
        self.d_optimizer = d_optimizer
        d_optimizer.build(self.discriminator.trainable_variables)

    def logits(self, real, fake):
        """What the discriminator says of photos and of results, (N, H, W, 3) in [0, 1], shown apart: its logits."""
        return self.discriminator(real, training=True), self.discriminator(fake, training=True)

    def play(self, hr, sr):
        """Show the discriminator both images: the generator's loss terms by name, the discriminator's loss and beliefs.

        hr, sr: (N, H, W, 3) in [0, 1]. The terms, scalars, are not weighted yet. The beliefs, d_real and d_fake, are
        mean probabilities that a photo, and a result, is a photo.
        """
        real, fake = self.logits(hr, sr)
        step = ops.cast(self.optimizer.iterations, "int32")
        ones, zeros, goal = smooth_labels(real, self.label_smoothing, [step, self.seed + 1])
        d_loss = losses.discriminator_loss(real, fake, ones, zeros)
        terms = {"pixel": self.pixel_loss(hr, sr), "adversarial": losses.generator_loss(fake, goal)}
        beliefs = {"d_real": ops.mean(ops.sigmoid(real)), "d_fake": ops.mean(ops.sigmoid(fake))}
        return terms, d_loss, beliefs

    def train_step(self, batch):
        lr, hr = batch
        g_list, d_list = self.generator.trainable_variables, self.discriminator.trainable_variables
        with tf.GradientTape(persistent=True) as tape:
            sr = self.generator(lr, training=True)
            terms, d_loss, beliefs = self.play(hr, sr)
            g_loss = sum(self.loss_weights[name] * term for name, term in terms.items())
        g_gradients, d_gradients = tape.gradient(g_loss, g_list), tape.gradient(d_loss, d_list)
        logs = {**terms, "d_loss": d_loss, **beliefs}
        logs |= {"g_gradient": global_norm(g_gradients), "d_gradient": global_norm(d_gradients)}
        logs["g_update"] = apply_update(self.optimizer, g_gradients, g_list)
        logs["d_update"] = apply_update(self.d_optimizer, d_gradients, d_list)
        update_ema(self.ema, self.generator, self.optimizer.iterations, self.ema_decay)
        return logs


class GANTrainer(DCGANTrainer):
    """The same game with what cures it: windows, pairs, and terms that see what pixels do not.

    features: the model of `vgg.features`, or None without a perceptual loss. lattice, spectral, perceptual: weights of
    further terms; a term of weight 0 is not computed. VGG and the discriminator, the dearest parts of a step, see one
    window of `window` pixels, at a new place every step. relativistic: the discriminator judges pairs, "the photo looks
    more real than the network's image of the same face", by the difference of its logits (Jolicoeur-Martineau 2019,
    eq. 7 and 8). Raises `ValueError` for a perceptual weight without features.
    """

    def __init__(
        self, generator, discriminator, features=None, loss=losses.l1_loss, pixel=1.0, perceptual=1.0,
        adversarial=0.01, lattice=0.0, spectral=0.0, window=64, relativistic=False, label_smoothing=0.0,
        ema_decay=0.999, seed=0,
    ):  # fmt: skip
        super().__init__(generator, discriminator, loss, pixel, adversarial, label_smoothing, ema_decay, seed)
        if perceptual and features is None:
            raise ValueError("a perceptual weight needs `features`; pass vgg.features() or perceptual=0")
        self.features, self.window, self.relativistic = features, window, relativistic
        self.loss_weights |= {"lattice": lattice, "spectral": spectral, "perceptual": perceptual}

    def logits(self, real, fake):
        """As in the plain game, or how much more real each looks than the other one of its pair."""
        real, fake = super().logits(real, fake)
        return (real - fake, fake - real) if self.relativistic else (real, fake)

    def play(self, hr, sr):
        """The plain game in a window, and the further terms; pixel, lattice and spectral see the whole image."""
        step = ops.cast(self.optimizer.iterations, "int32")
        windows = random_window([hr, sr], self.window, [step, self.seed])
        terms, d_loss, beliefs = super().play(*windows)
        further = {
            "lattice": lambda: losses.lattice_loss(hr, sr),
            "spectral": lambda: losses.spectral_loss(hr, sr),
            "perceptual": lambda: losses.perceptual_loss(self.features, *windows),
        }
        terms |= {name: term() for name, term in further.items() if self.loss_weights[name]}
        return terms | {"pixel": self.pixel_loss(hr, sr)}, d_loss, beliefs


def pull(trainer, lr, hr):
    """Who pulls at the SR pixels of a batch: a dict from each term of the generator's loss to its share, 0 to 1.

    Shares of the lengths of the weighted gradients with respect to the pixels (see `losses.balance`). Nothing is
    trained: what a forward pass changes, BatchNormalization's averages for example, is put back. trainer: a
    `DCGANTrainer` or `GANTrainer`. lr, hr: float32 tensors in [0, 1], (N, h, w, 3) and (N, 4h, 4w, 3). Taught in 03.
    """
    changing = [*trainer.generator.non_trainable_variables, *trainer.discriminator.non_trainable_variables]
    before = [ops.copy(variable) for variable in changing]
    sr, weights = trainer.generator(lr, training=True), trainer.loss_weights
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(sr)
        terms, _, _ = trainer.play(hr, sr)
    norms = {name: weights[name] * global_norm([tape.gradient(term, sr)]) for name, term in terms.items()}
    for variable, value in zip(changing, before):
        variable.assign(value)
    return {name: float(norm / sum(norms.values())) for name, norm in norms.items()}


class Pull(keras.callbacks.Callback):
    """Every `every` steps of a game: who pulls at the SR pixels, as shares `pull_pixel`, ...; pixels: uint8 faces."""

    def __init__(self, pixels, every):
        super().__init__()
        self.pairs, self.every = [tf.constant(images) for images in data.pairs(pixels)], every

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) % self.every == 0:
            logs |= {f"pull_{name}": share for name, share in pull(self.model, *self.pairs).items()}


# --- the loop --------------------------------------------------------------------------------------


def fit(
    trainer, pixels, steps, batch, val=None, folder=None, seed=0, every=100, patch=data.HR_SIZE, keep=2,
    verbose=True, callbacks=(),
):  # fmt: skip
    """Train for `steps` batches and return the history, a dict of lists with one entry a step.

    trainer: a compiled `PixelTrainer`, `DCGANTrainer` or `GANTrainer`, or a class of yours that has their `generator`,
    `ema` and `state`.
    pixels, val: uint8 HR images (N, 128, 128, 3). Every `every` steps: PSNR on `val` of the EMA generator (val_psnr)
    and of the one that is trained (val_psnr_raw), a report, and, with a `folder`, the history as `history.csv`, the
    EMA generator as `ema.keras`, and a checkpoint, of which the last `keep` stay. If `folder` holds one, training goes
    on from there; up to rounding it ends as if it had never stopped, and with the same bits under
    `runtime.deterministic()` on a CPU. verbose: write the report, a line. callbacks: Keras callbacks; what they add to
    a step's `logs` is in the history, too.

    Raises `FloatingPointError` at the first step with a loss, gradient or update that is not finite, before
    it is saved; `OSError` if a checkpoint cannot be written, or another process trains in `folder`; `ValueError` for
    bad arguments, a foreign checkpoint, or a folder in which all are damaged. Taught in chapter 04.
    """
    if not all(getattr(trainer, name, None) for name in ("optimizer", "ema", "generator", "state")):
        raise ValueError(f"trainer is {trainer!r}; expected a compiled PixelTrainer, DCGANTrainer or GANTrainer")
    for name, value in {"steps": steps, "batch": batch, "every": every, "keep": keep}.items():
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a whole number, at least 1")
    data.check_pixels(pixels)
    if val is not None:
        data.check_pixels(val, "val")
    order = {"seed": seed, "batch": batch, "patch": patch, "images": len(pixels)}
    with checkpoints.lock(folder) if folder else contextlib.nullcontext():
        start = checkpoints.resume(folder, trainer, order) if folder else 0
        history = History(start, steps, every, folder)
        if start < steps:
            dataset = data.batches(pixels, batch, steps, seed=seed, start=start, patch=patch)
            guard, *own = own_callbacks(history, order, val, folder, keep, verbose)
            trainer.fit(dataset, shuffle=False, verbose=0, callbacks=[guard, *callbacks, *own])
    return history.columns


def own_callbacks(history, order, val, folder, keep, verbose):
    """The callbacks of `fit`, in the order in which they have to hear of a step."""
    return [
        Guard(history, folder),
        *([Validation(history, val)] if val is not None else []),
        history,
        *([Report(history, order["batch"])] if verbose else []),
        *([Saving(history, folder, order, keep)] if folder else []),
    ]


__getattr__ = runtime.renamed(
    __name__, RECIPES="recipes.RECIPES", Recipe="recipes.Recipe", SNAPSHOTS="recipes.SNAPSHOTS",
    build_trainer="recipes.build_trainer",
    load_checkpoint="checkpoints.restore", predict="inference.predict", predict_tiles="inference.predict_tiles",
    reach="inference.receptive_radius", resume="checkpoints.resume", save_checkpoint="checkpoints.save",
    train_rung="recipes.train", write_history="pretrained.write_rows",
)  # fmt: skip
