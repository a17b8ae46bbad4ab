"""Answers to the exercises of chapter 06: (check, answer, what the verdict holds)."""

import fractions

import numpy as np


def rows(batch, replicas, index):
    share = batch // replicas
    return index * share, (index + 1) * share


def gradient_in_place(gradients, counts):
    gradients *= counts[:, None]
    return gradients.sum(axis=0) / counts.sum()


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
    ("c06.unequal", lambda gradients, counts: np.average(gradients, axis=0, weights=counts), "Correct."),
    ("c06.unequal", lambda gradients, counts: np.repeat(gradients, counts, axis=0).mean(axis=0), "Correct."),
    ("c06.unequal", lambda gradients, counts: gradients.sum(axis=0), "this is the sum"),
    ("c06.unequal", lambda gradients, counts: gradients.mean(axis=0), "counts twice"),
    ("c06.unequal", lambda gradients, counts: counts @ gradients, "number of all images"),
    ("c06.unequal", lambda gradients, counts: counts @ gradients / len(counts), "not by the number of replicas"),
    ("c06.unequal", lambda g, counts: np.repeat(g, counts // counts.min(), axis=0).mean(axis=0), "counts themselves"),
    ("c06.unequal", gradient_in_place, "changed its input"),
    ("c06.step_time", lambda c, s, b, wait, n: (c + 2 * (n - 1) * (s / b + n * wait)) / n, "Correct."),
    ("c06.step_time", lambda compute, *rest: compute + step_time(0, *rest), "divide the computing time"),
    ("c06.step_time", lambda c, s, b, wait, n: c / n + (n - 1) / 2 * s / b + 2 * (n - 1) * wait, "expected"),
    ("c06.step_time", lambda c, s, b, wait, n: step_time(c, s, b, 0, n), "latency is missing"),
    ("c06.step_time", lambda c, s, b, wait, n: step_time(c, s, b, 0, n) + wait, "every turn"),
    ("c06.step_time", lambda c, s, b, wait, n: c / n + s / b + 2 * (n - 1) * wait, "not once"),
    ("c06.step_time", lambda c, s, b, wait, n: c / n + 2 * (n - 1) * (s / b + wait), "1 / workers of the gradient"),
    ("c06.step_time", lambda c, s, bandwidth, wait, n: step_time(c, s, 1e9, wait, n), "use every argument"),
]
