"""Answers for chapter 06: the solution, the stub, and typical mistakes with a fragment of what they are told."""

import numpy as np


def stub(*arguments): ...


def rows(batch, replicas, index):
    share = batch // replicas
    return index * share, (index + 1) * share


def rows_last_included(batch, replicas, index):
    first, stop = rows(batch, replicas, index)
    return first, stop - 1


def rows_from_one(batch, replicas, index):
    return rows(batch, replicas, index - 1)


def gradient(gradients, counts):
    return counts @ gradients / counts.sum()


def gradient_in_place(gradients, counts):
    gradients *= counts[:, None]
    return gradients.sum(axis=0) / counts.sum()


def step_time(compute, size, bandwidth, latency, workers):
    turns = 2 * (workers - 1)
    return compute / workers + turns * (size / workers / bandwidth + latency)


def step_time_one_latency(compute, size, bandwidth, latency, workers):
    return compute / workers + 2 * (workers - 1) / workers * size / bandwidth + latency


def step_time_whole_gradient_each_turn(compute, size, bandwidth, latency, workers):
    return compute / workers + 2 * (workers - 1) * (size / bandwidth + latency)


ANSWERS = {
    "c06_rows": {
        "solution": rows,
        "stub": stub,
        "wrong": [
            (lambda batch, replicas, index: (index, batch), "contiguous"),
            (lambda batch, replicas, index: (index * batch, (index + 1) * batch), "of its own"),
            (rows_last_included, "not 23"),
            (rows_from_one, "counted from 0"),
            (lambda batch, replicas, index: (8 * index, 8 * index + 8), "each of 12 images once"),
            (lambda batch, replicas, index: (index * batch / replicas, (index + 1) * batch / replicas), "cannot cut a slice"),
        ],
    },
    "c06_unequal": {
        "solution": gradient,
        "stub": stub,
        "wrong": [
            (lambda gradients, counts: gradients.sum(axis=0), "this is the sum"),
            (lambda gradients, counts: gradients.mean(axis=0), "counts twice"),
            (lambda gradients, counts: counts @ gradients, "number of all images"),
            (lambda gradients, counts: counts @ gradients / len(counts), "not by the number of replicas"),
            (lambda gradients, counts: np.repeat(gradients, counts // counts.min(), axis=0).mean(axis=0), "with the counts themselves"),
            (gradient_in_place, "changed its input"),
        ],
    },
    "c06_step_time": {
        "solution": step_time,
        "stub": stub,
        "wrong": [
            (lambda compute, *rest: compute + step_time(0, *rest), "divide the computing time"),
            (lambda c, s, b, latency, n: c / n + (n - 1) / 2 * s / b + 2 * (n - 1) * latency, "expected"),
            (lambda c, s, b, latency, n: step_time(c, s, b, 0, n), "latency is missing"),
            (step_time_one_latency, "every turn"),
            (lambda c, s, b, latency, n: c / n + s / b + 2 * (n - 1) * latency, "not once"),
            (step_time_whole_gradient_each_turn, "1 / workers of the gradient"),
            (lambda c, s, bandwidth, latency, n: step_time(c, s, 1e9, latency, n), "use every argument"),
        ],
    },
}
