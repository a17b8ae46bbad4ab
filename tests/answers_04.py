"""Solutions, stubs and typical wrong answers of chapter 04."""

import numpy as np


def ema(average, weight, step, decay):
    decay = min(decay, (1 + step) / (10 + step))
    return decay * average + (1 - decay) * weight


def ema_exchanged(average, weight, step, decay):
    decay = min(decay, (1 + step) / (10 + step))
    return (1 - decay) * average + decay * weight


def schedule(step, peak, steps, warmup):
    if step < warmup:
        return peak * step / warmup
    progress = (step - warmup) / (steps - warmup)
    return peak * (1 + np.cos(np.pi * progress)) / 2


def schedule_to_minus(step, peak, steps, warmup):
    return peak * step / warmup if step < warmup else peak * np.cos(np.pi * (step - warmup) / (steps - warmup))


def schedule_straight(step, peak, steps, warmup):
    return peak * step / warmup if step < warmup else peak * (steps - step) / (steps - warmup)


def diagnose(history, part=slice(-10, None), guard=True):
    if guard and not all(np.isfinite([v for v in column if v is not None]).all() for column in history.values()):
        return "broken"
    real, fake = np.mean(history["d_real"][part]), np.mean(history["d_fake"][part])
    if real > 0.9 and fake < 0.1:
        return "discriminator wins"
    return "discriminator is blind" if abs(real - fake) < 0.005 else "healthy"


def diagnose_nan_only(history):
    if any(v is not None and np.isnan(v) for column in history.values() for v in column):
        return "broken"
    return diagnose(history, guard=False)


def diagnose_either(history):
    answer = diagnose(history)
    late = np.mean(history["d_real"][-10:]), np.mean(history["d_fake"][-10:])
    return "discriminator wins" if answer == "healthy" and (late[0] > 0.9 or late[1] < 0.1) else answer


def diagnose_around_half(history):
    answer = diagnose(history)
    blind = all(abs(np.mean(history[name][-10:]) - 0.5) < 0.005 for name in ("d_real", "d_fake"))
    return "healthy" if answer == "discriminator is blind" and not blind else answer


ANSWERS = {
    "c04_epochs": {
        "solution": lambda steps, batch, images: (steps * batch, steps * batch / images),
        "stub": lambda steps, batch, images: ...,
        "wrong": [
            (lambda steps, batch, images: (steps, steps / images), "whole batch"),
            (lambda steps, batch, images: (steps * batch, steps * batch // images), "half pass"),
        ],
    },
    "c04_ema": {
        "solution": ema,
        "stub": lambda average, weight, step, decay: ...,
        "wrong": [
            (ema_exchanged, "exchanged"),
            (lambda average, weight, step, decay: decay * average + (1 - decay) * weight, "warm-up is missing"),
        ],
    },
    "c04_schedule": {
        "solution": schedule,
        "stub": lambda step, peak, steps, warmup: ...,
        "wrong": [
            (lambda step, peak, steps, warmup: peak * (1 + np.cos(np.pi * step / steps)) / 2, "no warm-up"),
            (schedule_to_minus, "minus the peak"),
            (schedule_straight, "straight line"),
        ],
    },
    "c04_diagnose": {
        "solution": diagnose,
        "stub": lambda history: ...,
        "wrong": [
            (lambda history: diagnose(history, part=slice(None)), "the last tenth"),
            (lambda history: diagnose(history, guard=False), "NaN must win"),
            (diagnose_nan_only, "infinity"),
            (diagnose_either, "both limits"),
            (diagnose_around_half, "close together"),
        ],
    },
}
