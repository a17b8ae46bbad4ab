"""Checks of chapter 04, training."""

import numpy as np

from . import exercise, grade, require


@exercise
def epochs(answer):
    """epochs(steps, batch, images) -> (images seen, passes over the data)."""
    grade(
        answer,
        lambda steps, batch, images: (steps * batch, steps * batch / images),
        [
            (lambda steps, batch, images: (steps, steps / images), "a step sees a whole batch, not one image"),
            (lambda steps, batch, images: (steps, steps * batch / images), "a step sees a whole batch, not one image"),
            (
                lambda steps, batch, images: (steps * batch, steps * batch // images),
                "an epoch need not be complete: keep the half pass, divide with / and not with //",
            ),
        ],
        *[(4500, 16, 16_000), (1000, 32, 5000)],
        name="the pair",
        hint="return the images seen and the passes over the data",
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
def schedule(answer):
    """schedule(step, peak, steps, warmup) -> learning rate: a line up to `warmup`, then half a cosine to 0."""

    def rate(step, peak, steps, warmup, fall=lambda part: (1 + np.cos(np.pi * part)) / 2):
        return peak * (step / warmup if step < warmup else fall((step - warmup) / (steps - warmup)))

    grade(
        answer,
        lambda step, peak, steps, warmup: rate(step, peak, steps, warmup),
        [
            (
                lambda s, peak, n, warm: rate(s, peak, n, warm) if s < warm else rate(s, peak, n, 0),
                "the cosine must start at the end of the warm-up: count progress from there, "
                "(step - warmup) / (steps - warmup)",
            ),
            (
                lambda s, peak, n, warm: rate(s, peak, n, 0),
                "there is no warm-up: at step 0 the rate must be 0, at a quarter of the warm-up a quarter of the peak",
            ),
            (
                lambda s, peak, n, warm: rate(s, peak, n, warm, lambda part: np.cos(np.pi * part)),
                "your cosine ends at minus the peak: a cosine runs from 1 to -1, so take (1 + cos) / 2",
            ),
            (
                lambda s, peak, n, warm: rate(s, peak, n, warm, lambda part: 1 - part),
                "that is a straight line down; half a cosine falls slowly at first and at the end",
            ),
            (
                lambda s, peak, n, warm: rate(s, peak if s < warm else 2, n, warm),
                "right for a peak of 2.0 alone: the cosine's height is the peak",
            ),
        ],
        *[(step, 2.0, 1000, 200) for step in (0, 50, 200, 400, 600, 1000)],
        *[(step, 0.5, 500, 50) for step in (25, 275)],
        name="the rate",
        hint="a line from 0 to `peak` over `warmup` steps, then half a cosine; use the arguments",
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
