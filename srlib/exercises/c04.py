"""Checks of chapter 04, training."""

import numpy as np

from .. import losses, training
from ..backend import keras, tf
from . import Wrong, exercise, grade, near, require

layers = keras.layers


@exercise
def train_step(answer):
    """my_train_step(trainer, lr, hr): a step of the game, by the trainer's own losses and optimizers."""

    def moves(step, pixel=2.0, adversarial=3.0, g=1.0, d=1.0):
        """By how much a step moves the weights of a small G, times g, and of a small D, times d, as one vector."""
        random = np.random.default_rng(1)
        painter = [keras.Input((4, 4, 3)), layers.UpSampling2D(4), layers.Conv2D(3, 3, padding="same")]
        judge = [keras.Input((16, 16, 3)), layers.Conv2D(4, 3, 2, activation="leaky_relu"), layers.Flatten()]
        players = keras.Sequential(painter), keras.Sequential([*judge, layers.Dense(1)])
        for network in players:
            network.set_weights([random.normal(0, 0.3, w.shape) for w in network.get_weights()])
        trainer = training.DCGANTrainer(*players, losses.mse_loss, pixel, adversarial, label_smoothing=0.0)
        trainer.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2))
        before = [network.get_weights() for network in players]
        try:
            step(trainer, *(tf.constant(random.random((2, side, side, 3)), "float32") for side in (4, 16)))
        except (AttributeError, TypeError, ValueError) as error:
            raise Wrong(f"your code raised {type(error).__name__}: {error} (are all three dots replaced?)") from error
        return np.concatenate([
            factor * np.ravel(new - old)
            for factor, network, olds in zip((g, d), players, before)
            for new, old in zip(network.get_weights(), olds)
        ])  # fmt: skip

    def right(trainer, lr, hr):
        trainer.train_step((lr, hr))

    grade(
        lambda: moves(answer),
        lambda: moves(right),
        [
            (
                lambda: moves(right, g=0, d=0),
                "nothing has moved: replace the dots, and let both optimizers apply their gradients",
            ),
            (lambda: moves(right, d=0), "D has not moved: hand its gradients and its weights to trainer.d_optimizer"),
            (lambda: moves(right, g=0), "G has not moved: hand its gradients and its weights to trainer.optimizer"),
            (lambda: moves(right, d=-1), "D climbs: an optimizer descends by itself, so leave the sign alone"),
            (lambda: moves(right, 1.0, 1.0), "the terms are not weighted: multiply each by its trainer.loss_weights"),
            (lambda: moves(right, adversarial=0.0), "G's loss is the pixel term alone: add the adversarial one"),
            (lambda: moves(right, pixel=0.0), "G's loss is the adversarial term alone: add the pixel one"),
        ],
        (),
        near=lambda value, right: near(value, right, 1e-3, 1e-6),
        name="the move",
        hint="G takes the gradient of the weighted sum for g_list, D that of d_loss for d_list",
    )


@exercise
def ema(answer):
    """ema(average, weight, step, decay) -> the new average, with the warm-up of the decay."""
    average, weight = np.array([1.0, 2.0]), np.array([3.0, -2.0])

    def mix(average, weight, share):
        return share * average + (1 - share) * weight

    grade(
        answer,
        lambda average, weight, step, decay: mix(average, weight, min(decay, (1 + step) / (10 + step))),
        [
            (
                lambda a, w, step, decay: mix(w, a, min(decay, (1 + step) / (10 + step))),
                "average and weight are exchanged: the average keeps the share `decay`",
            ),
            (
                lambda a, w, step, decay: mix(a, w, decay),
                "the warm-up is missing: at step 1 the decay is min(decay, (1 + 1) / (10 + 1))",
            ),
        ],
        *[(average, weight, *case) for case in ((100_000, 0.9), (1, 0.9), (30, 0.9), (30, 0.5))],
        hint="decay * average + (1 - decay) * weight, where the decay is the smaller of "
        "`decay` and (1 + step) / (10 + step) at every step",
    )


@exercise
def diagnose(answer):
    """diagnose(history) -> 'broken', 'discriminator wins', 'discriminator is blind' or 'healthy'."""

    def log(*parts, first=0.03, **last):
        """The columns of a game from parts (steps, D(real), D(fake)), the first pixel loss and some last values."""
        real, fake = ([part[i] for part in parts for _ in range(part[0])] for i in (1, 2))
        often = "perceptual adversarial lattice d_loss d_gradient d_update g_gradient g_update".split()
        columns = {
            "step": list(range(1, len(real) + 1)),
            "pixel": [first] + [0.03] * (len(real) - 1),
            **{name: [0.03] * len(real) for name in often},
            **{"d_real": real, "d_fake": fake},
            **{name: [None] * (len(real) - 1) + [28.0] for name in ("seconds", "val_psnr", "val_psnr_raw")},
        }
        return {name: column[:-1] + [last.get(name, column[-1])] for name, column in columns.items()}

    wins, game = (100, 0.99, 0.01), (100, 0.6, 0.4)
    both = "but D wins only if both limits are passed"
    healthy, blind, won, broken = "healthy", "discriminator is blind", "discriminator wins", "broken"
    cases = [
        (log(game), healthy, "D(real) 0.6 against D(fake) 0.4 is a game"),
        (log(wins), won, "D(real) is 0.99 and D(fake) 0.01"),
        (log((100, 0.501, 0.499)), blind, "D(real) is 0.501 and D(fake) 0.499"),
        (
            log((90, 0.6, 0.4), (10, 0.98, 0.02)),
            won,
            "the game was even and is lost now: judge the last tenth, not the whole run",
        ),
        (
            log((90, 0.5, 0.5), (10, 0.6, 0.4)),
            healthy,
            "a draw at the start is normal: judge the last tenth, not the start",
        ),
        (
            log((99, 0.6, 0.4), (1, 0.99, 0.01)),
            healthy,
            "D wins in one step of the last ten: take their mean, not the last value",
        ),
        (
            log((90, 0.6, 0.4), (6, 0.99, 0.01), (4, 0.6, 0.4)),
            healthy,
            "D wins in six of the last ten steps: take their mean, not their median",
        ),
        (log((290, 1, 0), (10, 0.9, 0.1)), won, "the last tenth of 300 steps is 30 steps, not 10"),
        (log(wins, pixel=np.nan), broken, "a NaN must win over everything else: look for it first, with np.isfinite"),
        (log(game, pixel=np.inf), broken, "infinity is not finite either: use np.isfinite, not np.isnan"),
        (log(game, pixel=-np.inf), broken, "minus infinity is not finite either: use np.isfinite"),
        (log(game, g_update=np.nan), broken, "the NaN stands in the column g_update: look in every column"),
        (log(game, d_fake=np.nan), broken, "the NaN stands in the column d_fake: look in every column"),
        (
            log(game, first=np.nan),
            broken,
            "the NaN stands in the first step: look at every number, not only at the last ones",
        ),
        (
            log(game, val_psnr=np.nan),
            broken,
            "the NaN stands in val_psnr, behind the None: leave out each None, not the column",
        ),
        (
            log((99, 0.948, 0.052), (1, 1, 0)),
            won,
            "the last ten steps have the means 0.953 and 0.047: "
            "the slice [-n:-1] leaves out the last step, write [-n:]",
        ),
        (
            log((90, 0.6, 0.4), (5, 0.7, 0.3), (5, 0.3, 0.7)),
            blind,
            "both means of the last ten steps are 0.5: compare the means, not step by step",
        ),
        (
            log((4, 0.6, 0.4), (1, 0.99, 0.01)),
            won,
            "a tenth of 5 steps is less than one: take one step at least; the slice [-0:] is the whole list",
        ),
        (log((100, 0.99, 0.06)), healthy, f"D(real) is 0.99 and D(fake) 0.06, {both}"),
        (log((100, 0.97, 0.3)), healthy, f"D(real) is 0.97 and D(fake) 0.3, {both}"),
        (log((100, 0.6, 0.02)), healthy, f"D(real) is 0.6 and D(fake) 0.02, {both}"),
        (log((100, 0.94, 0.06)), healthy, "D(real) is 0.94 and D(fake) 0.06: the limits are 0.95 and 0.05"),
        (log((100, 0.96, 0.04)), won, "D(real) is 0.96 and D(fake) 0.04: the limits are 0.95 and 0.05"),
        (
            log((100, 0.7, 0.699)),
            blind,
            "D(real) is 0.7 and D(fake) 0.699: blind means close together, wherever that is",
        ),
        (log((100, 0.504, 0.5)), blind, "D(real) is 0.504 and D(fake) 0.5: the limit is 0.005"),
        (log((100, 0.506, 0.5)), healthy, "D(real) is 0.506 and D(fake) 0.5: the limit is 0.005"),
        (log((100, 0.4, 0.6)), healthy, "D(real) is 0.4 and D(fake) 0.6, far apart: take the absolute difference"),
    ]
    for history, expected, why in cases:
        said = answer(history)
        require(isinstance(said, str), f"the result is {said!r}; replace the dots, and return one of the four words")
        require(said == expected, f"{why}; expected {expected!r}, you say {said!r}")
