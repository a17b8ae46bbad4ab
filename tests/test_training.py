"""Two networks that do not move each other, steps by hand, guards, arguments."""

import keras
import numpy as np
import pytest
from small import ARGUMENTS, PIXELS, assert_same, make, one_batch, values

from srlib import data, inference, losses, models, runtime, training

tf = runtime.load_tensorflow()


@pytest.mark.slow
@pytest.mark.parametrize("discriminator", [None, lambda: models.srgan_discriminator(4)])
def test_a_step_of_one_network_does_not_move_the_other(discriminator):
    """Forward passes may renormalise (spectral norm, BatchNorm's averages); optimizers may not cross over."""
    lr, hr = batch = one_batch()
    for rate, d_rate in ((1e-2, 0.0), (0.0, 1e-2)):
        trainer = make("gan", rate=rate, d_rate=d_rate, discriminator=discriminator, adversarial=1.0)
        for _ in range(2):  # let spectral norm settle
            trainer.discriminator(hr, training=True)
        reference = make("gan", rate=rate, d_rate=d_rate, discriminator=discriminator, adversarial=1.0)
        for _ in range(2):
            reference.discriminator(hr, training=True)
        g_before = values(trainer.generator.trainable_variables)
        logs = trainer.train_step(batch)
        reference.discriminator(hr, training=True)  # the passes of a step, without any optimizer
        reference.discriminator(reference.generator(lr, training=True), training=True)
        moved = [not np.array_equal(a, b) for a, b in zip(g_before, values(trainer.generator.trainable_variables))]
        d_pairs = zip(
            values(trainer.discriminator.trainable_variables), values(reference.discriminator.trainable_variables)
        )
        d_moved = [not np.array_equal(a, b) for a, b in d_pairs]
        assert any(moved) == (rate > 0) and any(d_moved) == (d_rate > 0)
        assert (logs["g_update"] > 0) == (rate > 0) and (logs["d_update"] > 0) == (d_rate > 0)


def test_a_gan_step_equals_two_separate_tapes():
    lr, hr = batch = one_batch()
    options = {
        "discriminator": lambda: models.srgan_discriminator(4),
        "adversarial": 1.0,
        "label_smoothing": 0,
    }
    trainer, other = make("gan", **options), make("gan", **options)
    for both in (trainer, other):
        both.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    trainer.train_step(batch)
    judge = other.discriminator
    with tf.GradientTape() as tape:
        d_loss = losses.discriminator_loss(
            judge(hr, training=True), judge(other.generator(lr, training=True), training=True)
        )
    d_gradients = tape.gradient(d_loss, judge.trainable_variables)
    with tf.GradientTape() as tape:
        sr = other.generator(lr, training=True)
        g_loss = losses.l1_loss(hr, sr) + losses.generator_loss(judge(sr, training=True))
    g_gradients = tape.gradient(g_loss, other.generator.trainable_variables)
    other.optimizer.apply(g_gradients, other.generator.trainable_variables)
    other.d_optimizer.apply(d_gradients, judge.trainable_variables)
    for one, two in ((trainer.generator, other.generator), (trainer.discriminator, judge)):
        for a, b in zip(values(one.trainable_variables), values(two.trainable_variables)):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_relativistic_discriminator_judges_pairs():
    """Its loss is softplus of the difference; both beliefs then add up to one, and the lattice term is there."""
    lr, hr = batch = one_batch()
    options = {
        "rate": 0.0,
        "d_rate": 0.0,
        "discriminator": lambda: models.srgan_discriminator(4),
        "relativistic": True,
        "label_smoothing": 0,
        "lattice": 2.0,
    }
    trainer, other = make("gan", **options), make("gan", **options)
    logs = {name: float(value) for name, value in trainer.train_step(batch).items()}
    sr = other.generator(lr, training=True)
    margin = np.array(other.discriminator(hr, training=True) - other.discriminator(sr, training=True))
    assert logs["d_loss"] == pytest.approx(np.mean(np.log1p(np.exp(-margin))), rel=1e-4)
    assert logs["adversarial"] == pytest.approx(np.mean(np.log1p(np.exp(margin))), rel=1e-4)
    assert logs["d_real"] + logs["d_fake"] == pytest.approx(1, abs=1e-5)
    assert logs["lattice"] == pytest.approx(float(losses.lattice_loss(hr, sr)), rel=1e-4)


def test_a_perceptual_weight_without_features_is_refused():
    with pytest.raises(ValueError, match="features"):
        make("gan", perceptual=1.0)


@pytest.mark.slow
def test_another_seed_is_another_training():
    histories = [training.fit(make("pixel"), PIXELS, 3, seed=seed, **ARGUMENTS) for seed in (3, 3, 4)]
    assert histories[0]["pixel"] == histories[1]["pixel"]
    assert not np.allclose(histories[0]["pixel"], histories[2]["pixel"], rtol=1e-2)


def test_an_update_that_is_not_finite_is_taken_back():
    weight = keras.Variable(np.ones(3, "float32"))
    ratio = training.apply_update(
        keras.optimizers.SGD(0.5), [keras.ops.convert_to_tensor([1.0, np.nan, 1.0])], [weight]
    )
    assert not np.isfinite(ratio)
    np.testing.assert_array_equal(weight, [1, 1, 1])


def test_half_precision_stays_inside_the_networks():
    full, half = make("pixel"), make("pixel", "mixed_bfloat16")
    batch = one_batch()
    np.testing.assert_array_equal(half(batch[0]), full(batch[0]))  # both start at bicubic; the input may not be rounded
    logs = half.train_step(batch)
    assert logs["pixel"].dtype == "float32"
    assert {variable.dtype for variable in half.generator.trainable_variables} == {"float32"}


def test_the_size_of_an_update():
    weights = [keras.Variable(np.full((2, 2), 3.0, "float32")), keras.Variable(np.full(4, 4.0, "float32"))]
    gradients = [keras.ops.ones((2, 2)), keras.ops.zeros(4)]
    ratio = training.apply_update(keras.optimizers.SGD(0.5), gradients, weights)
    assert float(ratio) == pytest.approx(1.0 / 10.0)  # |0.5| in four places, over sqrt(4 * 9 + 4 * 16)
    assert float(training.global_norm(weights)) == pytest.approx(np.sqrt(4 * 2.5**2 + 4 * 16))


def test_the_ema_follows_its_formula_and_converges_to_the_average():
    model, average = (keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)]) for _ in range(2))
    rng, expected, seen = np.random.default_rng(0), 0.0, []
    average.set_weights([np.zeros((1, 1))])
    for step in range(1, 1201):
        value = rng.normal(5.0, 1.0)
        model.set_weights([np.full((1, 1), value)])
        training.update_ema(average, model, step, decay=0.99)
        decay = min(0.99, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * np.float32(value)
        seen.append(average.get_weights()[0].item())
    assert seen[-1] == pytest.approx(expected, abs=1e-4)
    assert np.mean(seen[600:]) == pytest.approx(5.0, abs=0.1)
    assert np.std(seen[600:]) < 0.15  # the raw weights scatter by 1.0: sqrt((1 - 0.99) / (1 + 0.99)) of it stays


def test_the_schedule_warms_up_and_falls():
    schedule = training.cosine_schedule(2.0, 4000)
    rates = [float(schedule(step)) for step in (0, 50, 100, 2100, 4100, 9000)]
    assert rates == pytest.approx([0, 1, 2, 1, 0, 0], abs=1e-5)


def test_the_generator_learns():
    trainer = make("pixel", rate=5e-3)
    lr, hr = data.pairs(PIXELS)
    bicubic = np.abs(data.upscale(lr) - hr).mean()
    training.fit(trainer, PIXELS, 60, **ARGUMENTS)
    assert np.abs(inference.predict(trainer.ema, lr) - hr).mean() < bicubic


@pytest.mark.parametrize(
    "bad, words",
    [
        ({"pixels": data.to_float(PIXELS)}, "uint8.*to_uint8"),
        ({"val": data.to_float(PIXELS)}, "val has dtype float32"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"batch": 0}, "batch is 0"),
        ({"every": 0}, "every is 0"),
        ({"keep": 0}, "keep is 0"),
        ({"patch": 30}, "multiple of 4"),
        ({"folder": __file__}, "cannot make the folder"),
        ({"trainer": models.facesr(blocks=1, filters=8)}, "compiled PixelTrainer"),
    ],
)
def test_fit_checks_its_arguments(bad, words):
    arguments = {"trainer": make("pixel"), "pixels": PIXELS, "steps": 2, **ARGUMENTS, **bad}
    with pytest.raises((ValueError, OSError), match=words):
        training.fit(**arguments)


def test_schedules_check_their_arguments():
    with pytest.raises(ValueError, match="steps 0"):
        training.cosine_schedule(1e-3, 0)


def test_windows_and_labels_depend_on_step_and_seed_alone():
    images = np.arange(2 * 32 * 32 * 3, dtype="float32").reshape(2, 32, 32, 3)
    seen = []
    for seed in ((0, 0), (1, 0), (0, 1), (0, 0)):
        one, two = training.random_window([images, images], 8, seed)
        np.testing.assert_array_equal(one, two)
        labels = [np.asarray(part) for part in training.smooth_labels(np.zeros((2, 4, 4, 1), "float32"), 0.1, seed)]
        assert one.shape == (2, 8, 8, 3) and all(part.shape == (2, 1, 1, 1) for part in labels)
        assert all(0.9 <= part.min() < part.max() <= 1 for part in (labels[0], labels[2]))
        assert 0 <= labels[1].min() < labels[1].max() <= 0.1
        seen.append([np.asarray(one), *labels])
    assert all(np.array_equal(a, b) for a, b in zip(seen[0], seen[3]))
    assert all(len({part.tobytes() for part in parts}) == 3 for parts in zip(*seen[:3]))


def test_smoothed_labels_enter_both_losses():
    """With labels y, BCE is softplus(l) - y l: by hand, in NumPy, from the labels of the step."""
    lr, hr = batch = one_batch()
    options = {"rate": 0.0, "d_rate": 0.0, "label_smoothing": 0.4, "seed": 7}
    trainer, other = make("gan", **options), make("gan", **options)
    logs = {name: float(value) for name, value in trainer.train_step(batch).items()}
    real = np.array(other.discriminator(hr, training=True))
    fake = np.array(other.discriminator(other.generator(lr, training=True), training=True))
    ones, zeros, wanted = (np.asarray(part) for part in training.smooth_labels(real, 0.4, [0, 8]))

    def bce(logits, labels):
        return np.mean(np.log1p(np.exp(logits)) - labels * logits)

    assert logs["d_loss"] == pytest.approx((bce(real, ones) + bce(fake, zeros)) / 2, rel=1e-4)
    assert logs["adversarial"] == pytest.approx(bce(fake, wanted), rel=1e-4)
    assert abs(logs["adversarial"] - bce(fake, 1.0)) > 1e-3


def test_a_class_of_the_readers_own_is_trained():
    """What a notebook defines: no subclass of ours, the same behaviour."""

    class Mine(keras.Model):
        def __init__(self):
            super().__init__(name="mine")
            self.generator = self.ema = models.srcnn()

        def train_step(self, batch):
            with tf.GradientTape() as tape:
                loss = losses.l1_loss(batch[1], self.generator(batch[0], training=True))
            weights = self.generator.trainable_variables
            self.optimizer.apply(tape.gradient(loss, weights), weights)
            return {"pixel": loss}

        def state(self):
            return [*self.generator.variables, *self.optimizer.variables]

    mine = Mine()
    mine.compile(optimizer=keras.optimizers.Adam(1e-2))
    history = training.fit(mine, PIXELS[:2], 40, **ARGUMENTS)
    assert np.mean(history["pixel"][-10:]) < 0.9 * np.mean(history["pixel"][:3])


def test_who_pulls_by_finite_differences_and_nothing_moves():
    """The share of a term is that of its weighted gradient's length, here measured along that gradient itself."""
    batch = one_batch()
    options = {"adversarial": 0.5, "pixel": 2.0, "loss": losses.mse_loss, "lattice": 0.0}
    trainer = make("gan", discriminator=lambda: models.srgan_discriminator(4), **options)
    before = values(trainer.variables)
    shares = training.pull(trainer, *batch)
    assert_same(before, values(trainer.variables))
    assert set(shares) == {"pixel", "adversarial"} and sum(shares.values()) == pytest.approx(1)
    hr, sr = batch[1], trainer.generator(batch[0], training=True)
    pixel = 2.0 * 2.0 * np.linalg.norm(np.asarray(sr - hr)) / np.size(hr)  # the gradient of the mean square, by hand
    trainer.loss_weights["pixel"] = 4.0
    doubled = training.pull(trainer, *batch)
    odds = [s["pixel"] / s["adversarial"] for s in (shares, doubled)]
    assert odds[1] == pytest.approx(2 * odds[0], rel=1e-3)
    adversarial = pixel / odds[0] / 0.5
    with tf.GradientTape() as tape:
        tape.watch(sr)
        loss = trainer.play(hr, sr)[0]["adversarial"]
    direction = tape.gradient(loss, sr)
    assert adversarial == pytest.approx(float(training.global_norm([direction])), rel=0.02)
    step = 1e-3 * direction / training.global_norm([direction])
    change = [float(trainer.play(hr, sr + sign * step)[0]["adversarial"]) for sign in (1, -1)]
    assert (change[0] - change[1]) / 2e-3 == pytest.approx(adversarial, rel=0.05)
