"""Answers to the exercises of chapter 06: (check, answer, what the verdict holds)."""

import fractions

import numpy as np


def rows(batch, replicas, index):
    share = batch // replicas
    return index * share, (index + 1) * share


def scaled(factor, rename="apply"):
    """An answer that multiplies every gradient by factor(images, total)."""

    def answer(optimizer, images, total):
        before, by = optimizer.apply, factor(images, total)
        setattr(optimizer, rename, lambda gradients, weights: before([by * g for g in gradients], weights))

    return answer


def endless(optimizer, images, total):
    optimizer.apply = lambda gradients, weights: optimizer.apply([g * images / total for g in gradients], weights)


def step_time(compute, size, bandwidth, latency, workers):
    turns = 2 * (workers - 1)
    return compute / workers + turns * (size / workers / bandwidth + latency)


ANSWERS = [
    (
        "c06.rows",
        lambda batch, replicas, i: np.array_split(np.arange(batch), replicas)[i][[0, -1]] + [0, 1],
        "Correct.",
    ),
    ("c06.rows", lambda batch, replicas, index: (index, batch), "contiguous"),
    ("c06.rows", lambda batch, replicas, index: (index * batch, (index + 1) * batch), "of its own"),
    ("c06.rows", lambda *given: (rows(*given)[0], rows(*given)[1] - 1), "not 23"),
    ("c06.rows", lambda batch, replicas, index: rows(batch, replicas, index - 1), "counted from 0"),
    ("c06.rows", lambda batch, replicas, index: (8 * index, 8 * index + 8), "each image once"),
    ("c06.rows", lambda batch, n, i: (i * batch / n, (i + 1) * batch / n), "cannot cut a slice"),
    ("c06.rows", lambda *given: tuple(map(fractions.Fraction, rows(*given))), "cannot cut a slice"),
    ("c06.unequal", scaled(lambda images, total: images / total), "Correct."),
    ("c06.unequal", scaled(fractions.Fraction), "your code raised"),
    ("c06.unequal", lambda *given: None, "replace the dots"),
    ("c06.unequal", scaled(lambda images, total: images / total, "aply"), "assign your function"),
    ("c06.unequal", scaled(lambda images, total: images), "number of all images"),
    ("c06.unequal", scaled(lambda images, total: 1 / total), "multiply it by their number"),
    ("c06.unequal", scaled(lambda images, total: 1 / images), "a mean over the replica's images already"),
    ("c06.unequal", scaled(lambda images, total: total / images), "upside down"),
    ("c06.unequal", scaled(lambda images, total: 1 / 3), "by images / total"),
    ("c06.unequal", endless, "RecursionError"),
    ("c06.step_time", lambda c, s, b, wait, n: (c + 2 * (n - 1) * (s / b + n * wait)) / n, "Correct."),
    ("c06.step_time", lambda compute, *rest: compute + step_time(0, *rest), "divide the computing time"),
    ("c06.step_time", lambda c, s, b, wait, n: c / n + (n - 1) / 2 * s / b + 2 * (n - 1) * wait, "expected"),
    ("c06.step_time", lambda c, s, b, wait, n: step_time(c, s, b, 0, n), "latency is missing"),
    ("c06.step_time", lambda c, s, b, wait, n: step_time(c, s, b, 0, n) + wait, "every turn"),
    ("c06.step_time", lambda c, s, b, wait, n: c / n + s / b + 2 * (n - 1) * wait, "not once"),
    ("c06.step_time", lambda c, s, b, wait, n: c / n + 2 * (n - 1) * (s / b + wait), "1 / workers of the gradient"),
    ("c06.step_time", lambda c, s, bandwidth, wait, n: step_time(c, s, 1e9, wait, n), "use every argument"),
]
