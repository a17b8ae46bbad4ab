"""Answers to the exercises of chapter 04: (check, answer, what the verdict holds)."""

import numpy as np

from srlib import pretrained, runtime

tf = runtime.load_tensorflow()


def ema(average, weight, step, decay):
    decay = min(decay, (1 + step) / (10 + step))
    return decay * average + (1 - decay) * weight


def ema_in_place(average, weight, step, decay):
    average *= min(decay, (1 + step) / (10 + step))
    return average


def step(trainer, lr, hr, share=lambda name, weights: weights[name], target=None, climb=1, everything=False):
    """The solution with knobs: the weights of G's terms, whose loss D follows, and in which direction."""
    g_weights, d_weights = trainer.generator.trainable_variables, trainer.discriminator.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        terms, d_loss, _ = trainer.play(hr, trainer.generator(lr, training=True))
        g_loss = sum(share(name, trainer.loss_weights) * term for name, term in terms.items())
        d_target = climb * (g_loss if target == "g" else d_loss)
    moved = g_weights + d_weights if everything else d_weights
    g_gradients, d_gradients = tape.gradient(g_loss, g_weights), tape.gradient(d_target, moved)
    trainer.d_optimizer.apply(d_gradients, moved)
    trainer.optimizer.apply(g_gradients, g_weights)


def step_with_two_tapes(trainer, lr, hr):
    with tf.GradientTape() as one, tf.GradientTape() as two:
        terms, d_loss, _ = trainer.play(hr, trainer.generator(lr, training=True))
        g_loss = 2.0 * terms["pixel"] + 3.0 * terms["adversarial"]
    g_weights, d_weights = trainer.generator.trainable_weights, trainer.discriminator.trainable_weights
    trainer.optimizer.apply_gradients(zip(one.gradient(g_loss, g_weights), g_weights))
    trainer.d_optimizer.apply_gradients(zip(two.gradient(d_loss, d_weights), d_weights))


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
    ("c04.train_step", step, "Correct."),
    ("c04.train_step", step_with_two_tapes, "Correct."),
    ("c04.train_step", lambda trainer, lr, hr: trainer.train_step((lr, hr)), "Correct."),
    ("c04.train_step", lambda *given: step(*given, share=lambda name, weights: 1.0), "not weighted"),
    ("c04.train_step", lambda *given: step(*given, share=lambda name, weights: 3.0 * (name != "pixel")), "adversarial"),
    ("c04.train_step", lambda *given: step(*given, target="g"), "D that of d_loss"),
    ("c04.train_step", lambda *given: step(*given, climb=-1), "sign"),
    ("c04.train_step", lambda *given: step(*given, everything=True), "dots"),
    ("c04.train_step", lambda *given: step(*given, share=lambda name, weights: -weights[name]), "weighted sum"),
    ("c04.train_step", lambda *given: None, "nothing has moved"),
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
