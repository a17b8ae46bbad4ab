"""How fast is this machine? Images a second of the data, of the shipped networks and of their training, and ms a face.

    python tests/speed.py [NETWORK ...]    # a few minutes for all networks; close other programs first

Batches of 16 faces, 32x32 -> 128x128. Every number is the median of repeated calls. No test looks at it: it is a fact
about one machine.
"""

import statistics
import sys
import time

import numpy as np

from srlib import data, inference, photos, pretrained, recipes, runtime
from srlib.backend import keras, tf

BATCH = 16
REPEATS = 15


def seconds(run):
    """Median duration of a call. The first two calls compile, and do not count."""
    run(), run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(name, policy, lr, hr):
    """One network in one precision: images/s forward, images/s in a step of its recipe, ms for one face alone."""
    trainer = recipes.build_trainer(name, recipes.RECIPES[name], policy)
    forward = BATCH / seconds(lambda: inference.predict(trainer.generator, lr))
    train_step, batch = tf.function(trainer.train_step), (tf.constant(lr), tf.constant(hr))
    step = BATCH / seconds(lambda: [float(number) for number in train_step(batch).values()])
    return forward, step, 1000 * seconds(lambda: inference.predict(trainer.generator, lr[:1]))


def main(names):
    """Print the table, for the networks of these names or all."""
    if not set(names) <= set(recipes.RECIPES):
        raise SystemExit(f"expected names of: {', '.join(recipes.RECIPES)}")
    print(f"{runtime.hardware()[0]}, {runtime.devices()}; TensorFlow {tf.__version__}, Keras {keras.__version__}")
    pixels = np.tile(photos.portraits(), (256, 1, 1, 1))
    rate = len(pixels) / seconds(lambda: list(data.batches(pixels, BATCH, len(pixels) // BATCH)))
    print(f"data: {rate:,.0f} images/s, made while the network trains")
    print(f"{'images/s':33} {'forward':>8} {'pixel step':>11} {'GAN step':>9} {'ms a face':>10}")
    lr, hr = data.pairs(pixels[:BATCH])
    for name in names or [name for name in recipes.RECIPES if name in pretrained.names()]:
        for policy in dict.fromkeys(("float32", runtime.best_precision())):
            forward, step, face = measure(name, policy, lr, hr)
            pixel, gan = ("", f"{step:.1f}") if recipes.RECIPES[name].discriminator else (f"{step:.1f}", "")
            print(f"{name:17} {policy:15} {forward:8.0f} {pixel:>11} {gan:>9} {face:10.1f}", flush=True)
            keras.utils.clear_session()


if __name__ == "__main__":
    main(sys.argv[1:])
