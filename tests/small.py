"""The smallest trainers, shared by the tests of training, its callbacks and its checkpoints."""

import keras
import numpy as np

from srlib import data, datasets, models, runtime, training

PIXELS = datasets.sample(runtime.PROFILES["smoke"]).train
ARGUMENTS = {"batch": 2, "patch": 32, "every": 4, "verbose": 0}


def facesr():
    return models.facesr(blocks=1, filters=8, tail=(8, 8))


def make(stage, policy="float32", rate=1e-3, d_rate=1e-3, discriminator=None, network=facesr, **options):
    """A tiny compiled trainer of stage `pixel` or `gan`, the same at every call."""
    keras.utils.set_random_seed(0)
    with runtime.precision(policy):
        generator = network()
        if stage == "pixel":
            trainer = training.PixelTrainer(generator, **options)
            trainer.compile(keras.optimizers.Adam(training.cosine_schedule(rate, 1000) if rate else 0.0))
        else:
            options = {"perceptual": 0, "label_smoothing": 0.1, **options}
            judge = discriminator() if discriminator else models.patch_discriminator(8, 2)
            trainer = training.GANTrainer(generator, judge, **options)
            trainer.compile(keras.optimizers.Adam(rate), keras.optimizers.RMSprop(d_rate, clipvalue=1.0))
    return trainer


def values(variables):
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one, other)


def one_batch(step=0):
    return tuple(keras.ops.convert_to_tensor(images) for images in data.batch_at(PIXELS, step, 2, patch=32))


def without_time(history):
    return {name: column for name, column in history.items() if name != "seconds"}
