"""Checks of chapter 06, scaling out."""

from ..backend import keras, tf
from . import exercise, grade, numbers, require


@exercise
def rows(answer):
    """rows(batch, replicas, index) -> (first, last + 1) of the images of the global batch that a replica sees."""
    grade(
        answer,
        lambda batch, replicas, index: (batch // replicas * index, batch // replicas * (index + 1)),
        [
            (lambda n, r, i: (i, n), "that is every fourth image: the slices are contiguous"),
            (
                lambda n, r, i: (n * i, n * (i + 1)),
                "each replica would see a whole batch of its own: the batch is the global one, "
                "so divide it by the number of replicas",
            ),
            (
                lambda n, r, i: (n // r * i, n // r * (i + 1) - 1),
                "in Python a slice ends one behind its last image: return 24, not 23",
            ),
            (
                lambda n, r, i: (n // r * (i - 1), n // r * i),
                "replicas are counted from 0: replica 2 is the third one",
            ),
        ],
        *[(32, 4, 2), (12, 3, 0), (12, 3, 1), (12, 3, 2)],
        name="the pair",
        hint="together the replicas see each image once",
    )
    require(
        numbers(answer(32, 4, 2)).dtype.kind in "iu",
        "right numbers, but 16.0 and 24.0 cannot cut a slice: divide with //, so that they are whole",
    )


@exercise
def unequal(answer):
    """share_gradients(optimizer, images, total) makes a replica with `images` of `total` apply its share."""

    def step(images, total):
        """How far one step of SGD with the learning rate 1 goes down the gradient (3, -1)."""
        weight = tf.Variable([0.0, 0.0])
        optimizer = keras.optimizers.SGD(1.0)
        answer(optimizer, images, total)
        optimizer.apply([tf.constant([3.0, -1.0])], [weight])
        return -weight.numpy()

    grade(
        step,
        lambda images, total: (3 * images / total, -images / total),
        [
            (
                lambda images, total: (3, -1),
                "the optimizer applies the whole gradient as before: replace the dots, and assign your function to "
                "optimizer.apply",
            ),
            (lambda images, total: (3 * images, -images), "right weights, but divide by the number of all images"),
            (
                lambda images, total: (3 / total, -1 / total),
                "the mean of a replica stands for all of its images: multiply it by their number",
            ),
            (
                lambda images, total: (3 / images, -1 / images),
                "the gradient is a mean over the replica's images already; multiply by images / total",
            ),
            (lambda images, total: (3 * total / images, -total / images), "upside down: it is images / total"),
        ],
        *[(8, 16), (4, 16), (6, 15)],
        name="the step",
        hint="multiply each gradient by images / total",
    )


@exercise
def step_time(answer):
    """step_time(compute, size, bandwidth, latency, workers) -> seconds of a step with a ring all-reduce."""
    grade(
        answer,
        lambda compute, size, bandwidth, latency, workers: (
            compute / workers + 2 * (workers - 1) * (size / workers / bandwidth + latency)
        ),
        [
            (
                lambda c, s, b, wait, n: c + 2 * (n - 1) * (s / n / b + wait),
                "the workers share the images: divide the computing time by their number",
            ),
            (
                lambda c, s, b, wait, n: c / n + 2 * (n - 1) * s / n / b,
                "the latency is missing: a ring of 5 takes 2 * 4 turns, each waits once",
            ),
            (
                lambda c, s, b, wait, n: c / n + 2 * (n - 1) * s / n / b + wait,
                "the latency counts once for every turn of the ring, 2 * (workers - 1) times",
            ),
            (
                lambda c, s, b, wait, n: c / n + s / b + 2 * (n - 1) * wait,
                "each worker sends 2 * (workers - 1) / workers times the gradient, not once",
            ),
            (
                lambda c, s, b, wait, n: c / n + 2 * (n - 1) * (s / b + wait),
                "in each turn a worker sends only 1 / workers of the gradient",
            ),
        ],
        (0.8, 4e6, 1e9, 1e-3, 5),
        (0.3, 2e8, 1.25e8, 5e-4, 8),
        (0.8, 4e6, 1e9, 1e-3, 1),  # talks to nobody
        name="the time",
        hint="use every argument; a ring takes 2 * (workers - 1) turns",
    )
