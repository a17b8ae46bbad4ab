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


def schedule_without_peak(step, peak, steps, warmup):
    return peak * step / warmup if step < warmup else 1 + np.cos(np.pi * (step - warmup) / (steps - warmup))


def schedule_of_cosines(step, peak, steps, warmup):
    return peak * (1 - np.cos(np.pi * step / warmup)) / 2 if step < warmup else schedule(step, peak, steps, warmup)


def ema_in_place(average, weight, step, decay):
    decay = min(decay, (1 + step) / (10 + step))
    average *= decay
    average += (1 - decay) * weight
    return average


def diagnose(history, part=None, guard=True, mean=np.mean):
    part = part or slice(-max(1, len(history["d_real"]) // 10), None)
    if guard and not all(np.isfinite([v for v in column if v is not None]).all() for column in history.values()):
        return "broken"
    real, fake = mean(history["d_real"][part]), mean(history["d_fake"][part])
    if real > 0.95 and fake < 0.05:
        return "discriminator wins"
    return "discriminator is blind" if abs(real - fake) < 0.005 else "healthy"


def diagnose_nan_only(history):
    if any(v is not None and np.isnan(v) for column in history.values() for v in column):
        return "broken"
    return diagnose(history, guard=False)


def diagnose_either(history):
    answer = diagnose(history)
    late = np.mean(history["d_real"][-10:]), np.mean(history["d_fake"][-10:])
    return "discriminator wins" if answer == "healthy" and (late[0] > 0.95 or late[1] < 0.05) else answer


def diagnose_around_half(history):
    answer = diagnose(history)
    blind = all(abs(np.mean(history[name][-10:]) - 0.5) < 0.005 for name in ("d_real", "d_fake"))
    return "healthy" if answer == "discriminator is blind" and not blind else answer


def diagnose_at_the_end(history):
    last = {key: column[-max(1, len(column) // 10) :] for key, column in history.items()}
    return "broken" if diagnose(last) == "broken" else diagnose(history, guard=False)


def diagnose_step_by_step(history):
    answer, n = diagnose(history), max(1, len(history["d_real"]) // 10)
    gap = np.mean(np.abs(np.subtract(history["d_real"][-n:], history["d_fake"][-n:])))
    return "healthy" if answer == "discriminator is blind" and gap >= 0.005 else answer


ANSWERS = {
    "c04_epochs": {
        "solution": lambda steps, batch, images: (steps * batch, steps * batch / images),
        "right": [lambda steps, batch, images: np.array([steps * batch, steps * batch / images])],
        "stub": lambda steps, batch, images: ...,
        "wrong": [
            (lambda steps, batch, images: (steps, steps / images), "whole batch"),
            (lambda steps, batch, images: (steps * batch, steps * batch // images), "half pass"),
            (lambda steps, batch, images: (steps * batch, steps / 1000), "6.4 passes"),
        ],
    },
    "c04_ema": {
        "solution": ema,
        "stub": lambda average, weight, step, decay: ...,
        "wrong": [
            (ema_exchanged, "exchanged"),
            (ema_in_place, "changed its input"),
            (lambda average, weight, step, decay: ema(average, weight, step, decay if step >= 100 else 1.0), "step 30 for decay=0.5"),
            (lambda average, weight, step, decay: ema(average, weight, min(step, 1) if step < 100 else step, decay), "31 / 40"),
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
            (schedule_without_peak, "height is the peak"),
            (schedule_of_cosines, "expected 0, 0.5, 2"),
            (lambda step, peak, steps, warmup: schedule(step, peak, steps, steps / 5), "use the arguments"),
        ],
    },
    "c04_diagnose": {
        "solution": diagnose,
        "stub": lambda history: ...,
        "wrong": [
            (lambda history: diagnose(history, part=slice(None)), "the last tenth"),
            (lambda history: diagnose(history, part=slice(-10, None)), "30 steps"),
            (lambda history: diagnose(history, part=slice(-1, None)), "not the last value"),
            (lambda history: diagnose(history, mean=np.median), "not their median"),
            (lambda history: diagnose({**history, "g_update": []}), "every column"),
            (lambda history: diagnose(history).replace("healthy", "discriminator is blind") if np.mean(history["d_real"]) < np.mean(history["d_fake"]) else diagnose(history), "absolute"),
            (lambda history: diagnose(history, guard=False), "NaN must win"),
            (diagnose_nan_only, "infinity"),
            (diagnose_either, "both limits"),
            (diagnose_around_half, "close together"),
            (diagnose_at_the_end, "first step"),
            (lambda history: diagnose({key: column for key, column in history.items() if None not in column}), "behind the None"),
            (lambda history: diagnose(history, part=slice(-max(1, len(history["d_real"]) // 10), -1)), "leaves out the last step"),
            (diagnose_step_by_step, "not step by step"),
        ],
    },
}
