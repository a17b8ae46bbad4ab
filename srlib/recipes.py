"""How each network of the benchmark is trained: recipes, and one function that follows them. Used in chapter 04."""

import dataclasses
import hashlib
import json
import pathlib

import numpy as np

from . import data, datasets, inference, losses, metrics, models, pretrained, runtime, training, vgg
from .backend import keras
from .callbacks import Snapshots


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained. With a `discriminator`, it is an adversarial recipe."""

    steps: int
    batch: int = 16
    patch: int = data.HR_SIZE
    learning_rate: float = 5e-4
    schedule: str = "cosine"  # of the generator's learning rate: a key of SCHEDULES
    beta_1: float = 0.9  # of the generator's Adam
    beta_2: float = 0.99
    loss: str = "l1"  # a key of LOSSES
    start: str | None = None  # weights to start from, as in `pretrained.load`
    discriminator: str | None = None  # a key of DISCRIMINATORS
    d_optimizer: str = "adam"  # a key of D_OPTIMIZERS
    d_learning_rate: float | None = None  # constant; None: learning_rate
    label_smoothing: float = 0.0
    window: int = 64  # side of what the discriminator and VGG see
    pixel: float = 1.0  # from here on: the weights of the terms of the loss
    perceptual: float = 0.0
    adversarial: float = 0.0
    lattice: float = 0.0
    spectral: float = 0.0
    relativistic: bool = False


LOSSES = {"l1": losses.l1_loss, "mse": losses.mse_loss}  # of pixels
SCHEDULES = {
    "cosine": lambda recipe: training.cosine_schedule(recipe.learning_rate, recipe.steps),
    "constant": lambda recipe: recipe.learning_rate,
}
D_OPTIMIZERS = {
    "adam": lambda rate: keras.optimizers.Adam(rate, beta_1=0.5),
    "rmsprop": lambda rate: keras.optimizers.RMSprop(rate, clipvalue=1.0),
}
DCGAN = Recipe(  # as its author trained it, 0.8 MSE + 0.2 BCE: 0.8 of the MSE in [-1, 1] are 3.2 of ours in [0, 1]
    steps=8_000, learning_rate=2e-4, schedule="constant", beta_1=0.5, beta_2=0.999, loss="mse",
    pixel=3.2, adversarial=0.2,
    discriminator="dcgan", d_optimizer="rmsprop", d_learning_rate=1e-4, label_smoothing=0.1, window=data.HR_SIZE,
)  # fmt: skip
LIGHT = Recipe(steps=1_000, learning_rate=4e-4, start="facesr-light")  # chapter 03: one start, one budget, five losses
LIGHT_GAN = dataclasses.replace(LIGHT, discriminator="patch")
RECIPES = {
    "srcnn": Recipe(steps=1_200, patch=64, learning_rate=1e-3, loss="mse"),
    "dcgan-published": dataclasses.replace(DCGAN, discriminator="dcgan-published"),
    "dcgan": DCGAN,
    "dcgan-mse": Recipe(steps=8_000, learning_rate=1e-3, loss="mse"),  # best of 2e-4, 5e-4, 1e-3 after 16,000 images
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
    "light-l1": LIGHT,
    "light-mse": dataclasses.replace(LIGHT, loss="mse"),
    "light-perceptual": dataclasses.replace(LIGHT_GAN, perceptual=0.3),
    "light-adversarial": dataclasses.replace(LIGHT_GAN, adversarial=0.015),
    "light-all": dataclasses.replace(LIGHT_GAN, perceptual=0.3, adversarial=0.015),
}  # fmt: skip


DISCRIMINATORS = {
    "dcgan": models.dcgan_discriminator,
    "dcgan-published": lambda: models.dcgan_discriminator(published=True),
    "srgan": models.srgan_discriminator,
    "patch": models.patch_discriminator,
}


EVERY = 250  # steps between two checkpoints
SNAPSHOTS = (0.005, 0.02, 0.1, 0.3, 1.0)  # shares of a training at which the bundled portraits are enlarged


CHOICES = {"loss": LOSSES, "schedule": SCHEDULES, "d_optimizer": D_OPTIMIZERS, "discriminator": DISCRIMINATORS}
READ = {int: int, float: float, float | None: float, bool: {"True": True, "False": False}.__getitem__}  # by type


def changed(recipe, words):
    """A recipe with some fields changed. words: a list of "key=value"; raises `ValueError` that lists what there is."""
    changes, types = {}, {field.name: field.type for field in dataclasses.fields(Recipe)}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in types or not equals:
            raise ValueError(
                f"{word!r} changes nothing in a recipe; expected key=value, with a key of: {', '.join(types)}"
            )
        if value not in CHOICES.get(key, [value]):
            raise ValueError(f"{word!r}: expected one of {', '.join(CHOICES[key])}")
        try:
            changes[key] = READ.get(types[key], str)(value)
        except (ValueError, KeyError):
            raise ValueError(f"{word!r}: expected a number, or True or False") from None
    recipe = dataclasses.replace(recipe, **changes)
    if min(recipe.steps, recipe.batch) < 1:
        raise ValueError(f"steps is {recipe.steps} and batch {recipe.batch}; both must be at least 1")
    return recipe


def build_trainer(name, recipe, precision=None, seed=0):
    """The compiled trainer of a network, with the weights of `recipe.start`, if there is one.

    precision: `float32` or `mixed_bfloat16`, default `runtime.best_precision()`. seed: of windows and smoothed labels.
    """
    with runtime.precision(precision or runtime.best_precision()):
        generator = models.GENERATORS[name]()
        if recipe.start:
            generator.set_weights(pretrained.load(recipe.start).get_weights())
        loss = LOSSES[recipe.loss]
        optimizer = keras.optimizers.Adam(SCHEDULES[recipe.schedule](recipe), recipe.beta_1, recipe.beta_2)
        if recipe.discriminator is None:
            trainer = training.PixelTrainer(generator, loss)
            trainer.compile(optimizer)
            return trainer
        features = vgg.features() if recipe.perceptual else None
        trainer = training.GANTrainer(
            generator, DISCRIMINATORS[recipe.discriminator](), features, loss,
            pixel=recipe.pixel, perceptual=recipe.perceptual, adversarial=recipe.adversarial, lattice=recipe.lattice,
            spectral=recipe.spectral, window=recipe.window, relativistic=recipe.relativistic,
            label_smoothing=recipe.label_smoothing, seed=seed,
        )  # fmt: skip
        trainer.compile(optimizer, D_OPTIMIZERS[recipe.d_optimizer](recipe.d_learning_rate or recipe.learning_rate))
        return trainer


def claim(name, folder, recipe, photos, seed):
    """Note in a folder what is trained there: network, recipe, start, data, random seed; refuse something else.

    What an older note lacks has the default of `Recipe`. Raises `ValueError` that says what differs.
    """
    note, faces = pathlib.Path(folder) / "run.json", np.ascontiguousarray(photos.train[:16])
    mine = {
        "name": name,
        "seed": seed,
        "data": describe(photos),
        "faces_sha256": hashlib.sha256(faces.tobytes()).hexdigest()[:16],
        "start_sha256": recipe.start and pretrained.digest(recipe.start),
        **dataclasses.asdict(recipe),
    }
    defaults = {field.name: field.default for field in dataclasses.fields(Recipe)}
    theirs = defaults | json.loads(note.read_text(encoding="utf-8")) if note.exists() else mine
    differ = [f"{key} was {theirs.get(key)}, now {now}" for key, now in mine.items() if theirs.get(key) != now]
    if differ:
        raise ValueError(
            f"{folder} holds another training ({'; '.join(differ)}); name another folder, or delete this one"
        )
    with runtime.replacing(note) as partial:
        partial.write_text(json.dumps(mine, indent=1) + "\n", encoding="utf-8", newline="\n")


def describe(photos):
    """The data of a training in some words."""
    return f"{photos.name}, {len(photos.train):,} images"


def train(name, folder, recipe=None, photos=None, seed=0):
    """Train a network by its recipe, resuming in `folder`. seed: of the first weights, the batches, windows and labels.

    Returns the trainer, the history, what is known of the training as a dict (the entry of the index of shipped
    networks), and the snapshots: a dict from the step to the two bundled portraits enlarged at that step, uint8
    (2, 128, 128, 3). Raises `ValueError` for a folder that holds another training, and what `training.fit` raises.
    """
    recipe = recipe or RECIPES[name]
    photos = photos or datasets.load()
    folder = runtime.make_folder(folder)
    claim(name, folder, recipe, photos, seed)
    keras.utils.set_random_seed(seed)
    trainer = build_trainer(name, recipe, seed=seed)
    pictures = Snapshots(folder / "snapshots", [round(recipe.steps * share) for share in SNAPSHOTS])
    watchers = [pictures, *([training.Pull(photos.val[: recipe.batch], EVERY)] if recipe.discriminator else [])]
    history = training.fit(
        trainer, photos.train, recipe.steps, recipe.batch, photos.val[:100], folder, seed, EVERY, recipe.patch,
        callbacks=watchers,
    )  # fmt: skip
    lr, hr = data.pairs(photos.val)
    bicubic, ours = metrics.psnr(hr, data.upscale(lr)), metrics.psnr(hr, inference.predict(trainer.ema, lr))
    entry = {
        "parameters": trainer.generator.count_params(),
        "recipe": {
            field.name: value
            for field in dataclasses.fields(recipe)
            if (value := getattr(recipe, field.name)) != field.default
        },
        "data": describe(photos),
        "images_seen": recipe.steps * recipe.batch,
        "hours": round(
            float(np.nanmedian(np.array(history["seconds"], float))) * recipe.steps / 3600, 3
        ),  # with validation and saving; a pause does not count
        "machine": f"{runtime.devices()} ({runtime.hardware()[0]}), {runtime.best_precision()}",
        "val_psnr": round(float(ours.mean()), 3),
        "val_psnr_bicubic": round(float(bicubic.mean()), 3),
    }
    with runtime.replacing(folder / "entry.json") as partial:  # for `srlib evaluate --networks FOLDER`
        partial.write_text(json.dumps({"name": name} | entry, indent=1) + "\n", encoding="utf-8")
    return trainer, history, entry, pictures.pictures()
