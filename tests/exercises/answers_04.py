"""Answers to the exercises of chapter 04: (check, answer, what the verdict holds)."""

import fractions

import numpy as np

from srlib import pretrained


def ema(average, weight, step, decay):
    decay = min(decay, (1 + step) / (10 + step))
    return decay * average + (1 - decay) * weight


def ema_in_place(average, weight, step, decay):
    average *= min(decay, (1 + step) / (10 + step))
    return average


def schedule(step, peak, steps, warmup, fall=lambda part: np.cos(np.pi * part / 2) ** 2):
    return peak * step / warmup if step < warmup else peak * fall((step - warmup) / (steps - warmup))


def diagnose(history, part=None, guard=True, mean=np.mean, count="d_real", finite=np.isfinite):
    """The solution with knobs: which steps, whether and how numbers are checked, the mean, the column that counts."""
    part = part or slice(-max(1, len(history[count]) // 10), None)
    if guard and not all(finite(v) for column in history.values() for v in column if v is not None):
        return "broken"
    real, fake = mean(history["d_real"][part]), mean(history["d_fake"][part])
    if real > 0.95 and fake < 0.05:
        return "discriminator wins"
    return "discriminator is blind" if abs(real - fake) < 0.005 else "healthy"


def diagnose_as_arrays(history):
    arrays = {name: np.array(column, "float64")[-1:] for name, column in history.items()}
    return "broken" if not np.isfinite(list(arrays.values())).all() else diagnose(history, guard=False)


def diagnose_either(history):
    answer = diagnose(history)
    late = np.mean(history["d_real"][-10:]), np.mean(history["d_fake"][-10:])
    return "discriminator wins" if answer == "healthy" and (late[0] > 0.95 or late[1] < 0.05) else answer


def diagnose_around_half(history):
    answer = diagnose(history)
    blind = all(abs(np.mean(history[name][-10:]) - 0.5) < 0.005 for name in ("d_real", "d_fake"))
    return "healthy" if answer == "discriminator is blind" and not blind else answer


def diagnose_step_by_step(history):
    answer, n = diagnose(history), max(1, len(history["d_real"]) // 10)
    gap = np.mean(np.abs(np.subtract(history["d_real"][-n:], history["d_fake"][-n:])))
    return "healthy" if answer == "discriminator is blind" and gap >= 0.005 else answer


def diagnose_signed(history):
    answer, late = diagnose(history), np.subtract(history["d_real"], history["d_fake"])[-10:].mean()
    return "discriminator is blind" if answer == "healthy" and late < 0.005 else answer


ANSWERS = [
    ("c04.epochs", lambda steps, batch, images: np.array([steps * batch, steps * batch / images]), "Correct."),
    ("c04.epochs", lambda s, batch, n: (s * batch, fractions.Fraction(s * batch, n)), "Correct."),
    ("c04.epochs", lambda steps, batch, images: (steps, steps / images), "whole batch"),
    ("c04.epochs", lambda steps, batch, images: (steps * batch, steps * batch // images), "half pass"),
    ("c04.epochs", lambda steps, batch, images: (steps * batch, steps / 1000), "6.4"),
    ("c04.epochs", lambda steps, batch, images: steps * batch, "has shape (); expected (2,)"),
    ("c04.ema", lambda a, w, step, decay: w + min(decay, (1 + step) / (10 + step)) * (a - w), "Correct."),
    ("c04.ema", lambda a, w, step, decay: ema(w, a, step, decay), "exchanged"),
    ("c04.ema", ema_in_place, "changed its input"),
    (
        "c04.ema",
        lambda a, w, step, decay: ema(a, w, step, decay if step >= 100 else 1),
        "step 30, decay 0.5 the result",
    ),
    ("c04.ema", lambda a, w, step, decay: ema(a, w, min(step, 1) if step < 100 else step, decay), "at every step"),
    ("c04.ema", lambda a, w, step, decay: decay * a + (1 - decay) * w, "warm-up is missing"),
    ("c04.schedule", lambda *given: schedule(*given), "Correct."),
    (
        "c04.schedule",
        lambda s, peak, n, warm: (
            float(np.interp(s, [0, warm], [0, peak]))
            if s < warm
            else 0.5 * peak + 0.5 * peak * np.cos((s - warm) / (n - warm) * np.pi)
        ),
        "Correct.",
    ),
    ("c04.schedule", lambda s, peak, n, warm: peak * (1 + np.cos(np.pi * s / n)) / 2, "no warm-up"),
    ("c04.schedule", lambda *given: schedule(*given, fall=lambda part: np.cos(np.pi * part)), "minus the peak"),
    ("c04.schedule", lambda *given: schedule(*given, fall=lambda part: 1 - part), "straight line"),
    (
        "c04.schedule",
        lambda s, *rest: s / rest[2] * rest[0] if s < rest[2] else 2 * schedule(s, 1, *rest[1:]),
        "height",
    ),
    ("c04.schedule", lambda s, peak, n, warm: schedule(s, peak, n, n / 5), "use the arguments"),
    ("c04.schedule", lambda s, peak, n, warm: peak * (s / warm) ** 2 if s < warm else 1, "a line from 0"),
    ("c04.diagnose", lambda history: diagnose(history, count="step"), "Correct."),
    ("c04.diagnose", lambda history: diagnose(history, count="val_psnr"), "Correct."),
    ("c04.diagnose", lambda history: diagnose(history, count="g_gradient"), "Correct."),
    ("c04.diagnose", lambda h: [h[name] for name in pretrained.history("facesr-gan")] and diagnose(h), "Correct."),
    ("c04.diagnose", lambda history: np.str_(diagnose(history)), "Correct."),
    ("c04.diagnose", lambda history: diagnose(history, part=slice(None)), "the last tenth"),
    ("c04.diagnose", lambda history: diagnose(history, part=slice(-10, None)), "30 steps"),
    ("c04.diagnose", lambda history: diagnose(history, part=slice(-1, None)), "not the last value"),
    ("c04.diagnose", lambda history: diagnose(history, mean=np.median), "not their median"),
    ("c04.diagnose", lambda history: diagnose({**history, "g_update": []}), "every column"),
    ("c04.diagnose", diagnose_signed, "absolute"),
    ("c04.diagnose", lambda history: diagnose(history, guard=False), "NaN must win"),
    ("c04.diagnose", lambda history: diagnose(history, finite=lambda v: not np.isnan(v)), "infinity"),
    ("c04.diagnose", diagnose_either, "both limits"),
    ("c04.diagnose", diagnose_around_half, "close together"),
    ("c04.diagnose", diagnose_as_arrays, "first step"),
    (
        "c04.diagnose",
        lambda h: diagnose({k: column for k, column in h.items() if None not in column}),
        "behind the None",
    ),
    ("c04.diagnose", lambda h: diagnose(h, part=slice(-max(1, len(h["step"]) // 10), -1)), "leaves out the last step"),
    ("c04.diagnose", diagnose_step_by_step, "not step by step"),
]
