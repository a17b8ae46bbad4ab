"""Training that can be trusted: exact resume after a kill, two networks that do not move each other, guards."""

import os
import pathlib
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from srlib import data, losses, models, runtime, training

ROOT = pathlib.Path(__file__).parent.parent
PIXELS = data.sample(runtime.PROFILES["smoke"]).train
ARGUMENTS = {"batch": 2, "patch": 32, "every": 4, "verbose": False}


def discriminator(kind="patch"):
    return models.patch_discriminator(8, 2) if kind == "patch" else models.srgan_discriminator(4)


def make(stage, policy="float32", rate=1e-3, d_rate=1e-3, kind="patch", optimizer=keras.optimizers.Adam, **options):
    """A tiny compiled trainer of stage `pixel` or `gan`, the same at every call."""
    keras.utils.set_random_seed(0)
    with runtime.precision(policy):
        generator = models.facesr(blocks=1, filters=8, tail=(8, 8))
        if stage == "pixel":
            trainer = training.PixelTrainer(generator, **options)
            trainer.compile(optimizer(training.cosine_schedule(rate, 1000) if rate else 0.0))
        else:
            options = {"perceptual": 0, "matching": 0.1, **options}
            trainer = training.GANTrainer(generator, discriminator(kind), **options)
            trainer.compile(optimizer(rate), optimizer(d_rate))
    return trainer


def values(variables):
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one, other)


def gap(first, second):
    """Length of the difference of two lists of arrays, relative to the second's."""
    assert [a.shape for a in first] == [b.shape for b in second]
    squares = [(np.sum((a.astype("float64") - b) ** 2), np.sum(b.astype("float64") ** 2)) for a, b in zip(first, second)]
    return float(np.sqrt(np.sum(squares, axis=0) @ [1, 0]) / np.sqrt(np.sum(squares, axis=0) @ [0, 1]))


def one_batch():
    return tuple(keras.ops.convert_to_tensor(images) for images in data.batch_at(PIXELS, 0, 2, patch=32))


def without_time(history):
    return {name: column for name, column in history.items() if name != "seconds"}


# --- resume ----------------------------------------------------------------------------------------

# TensorFlow's own sums may vary in the last digit from call to call, even on one thread: usually the weights
# below are equal bit for bit, but now and then an adversarial step differs by 1e-8. A resume that lost the
# optimiser's moments, the step or the data order is off by more than 1e-3.
ROUNDING = 1e-5
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
STAGES = ("pixel", "gan")
ENDLESS = """
training.fit(t.make({stage!r}), t.PIXELS, 100_000, folder={folder!r}, **t.ARGUMENTS)
"""
COMPARE = """
steps, logs, states = {steps}, [], []
for folder in ({folder!r}, None, None):
    trainer = t.make({stage!r})
    logs.append(t.without_time(training.fit(trainer, t.PIXELS, steps, folder=folder, **t.ARGUMENTS)))
    states.append(t.values(trainer.state()))
assert logs[0]["step"] == list(range(1, steps + 1))
print("resumed against straight:", t.gap(states[0], states[1]), "straight against straight:", t.gap(states[1], states[2]))
assert t.gap(states[0], states[1]) < t.ROUNDING, "the resumed run differs"
assert t.gap(states[1], states[2]) < t.ROUNDING, "two equal runs differ"
for log in logs[1:]:
    assert log.keys() == logs[0].keys()
    for name in log:
        t.np.testing.assert_allclose(log[name], logs[0][name], rtol=1e-3, err_msg=name)
"""


def start(script, **fields):
    """A child process that trains on one thread."""
    head = f"import sys\nsys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]\nimport test_training as t\nfrom srlib import training\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + script.format(**fields)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **ONE_THREAD}, text=True,
    )  # fmt: skip


def test_a_killed_training_resumes_where_it_was(tmp_path):
    fields = {stage: {"stage": stage, "folder": str(tmp_path / stage)} for stage in STAGES}
    children = {stage: start(ENDLESS, **fields[stage]) for stage in STAGES}
    for stage, child in children.items():
        while not training.checkpoints(tmp_path / stage):
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.02)
        child.kill()
        child.communicate()
        reached = int(training.checkpoints(tmp_path / stage)[-1].stem.split("-")[1])
        fields[stage]["steps"] = reached + 5  # the end lies between two checkpoints
    for stage, child in {stage: start(COMPARE, **fields[stage]) for stage in STAGES}.items():
        output, errors = child.communicate(timeout=300)
        assert child.returncode == 0, f"{stage}: {errors[-2000:]}"
        assert "resumed at step" in output


def test_resume_restores_every_variable_that_a_step_changes():
    for kind in ("bn", "patch"):
        trainer = make("gan", kind=kind)
        before = values(trainer.variables)
        trainer.train_step(one_batch())
        in_state = {id(variable) for variable in trainer.state()}
        for variable, old in zip(trainer.variables, before):
            if not np.array_equal(old, values([variable])[0]):
                assert id(variable) in in_state, variable.path


def test_only_the_newest_checkpoints_stay(tmp_path):
    training.fit(make("pixel"), PIXELS, 14, folder=tmp_path, **ARGUMENTS)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-0000012.npz", "step-0000014.npz"]


def test_a_finished_training_is_not_trained_further(tmp_path):
    first = make("pixel")
    training.fit(first, PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    second = make("pixel")
    assert len(training.fit(second, PIXELS, 4, folder=tmp_path, **ARGUMENTS)["step"]) == 4
    assert_same(values(first.state()), values(second.state()))


def test_validation_that_starts_late_keeps_the_columns_aligned(tmp_path):
    training.fit(make("pixel"), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    history = training.fit(make("pixel"), PIXELS, 8, folder=tmp_path, val=PIXELS[:2], **ARGUMENTS)
    assert {len(column) for column in history.values()} == {8}
    assert history["val_psnr"][:7] == [None] * 7 and history["val_psnr"][7] > 10


# --- damaged and foreign checkpoints ---------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_checkpoint_is_refused_by_name(damage, tmp_path):
    training.fit(make("pixel"), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    (path,) = training.checkpoints(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0xFF
    path.write_bytes({"cut": content[: len(content) // 2], "flip": content, "empty": b"", "text": b"no archive"}[damage])
    fresh = make("pixel")
    before = values(fresh.state())
    with pytest.raises(ValueError, match=r"step-0000004\.npz is damaged"):
        training.fit(fresh, PIXELS, 8, folder=tmp_path, **ARGUMENTS)
    assert_same(before, values(fresh.state()))


def test_a_foreign_checkpoint_is_refused_by_name(tmp_path):
    training.fit(make("pixel"), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    with pytest.raises(ValueError, match=r"step-0000004\.npz was written by PixelTrainer .* not by this GANTrainer"):
        training.fit(make("gan"), PIXELS, 8, folder=tmp_path, **ARGUMENTS)
    wider = training.PixelTrainer(models.facesr(blocks=1, filters=12, tail=(8, 8)))
    wider.compile(keras.optimizers.Adam(1e-3))
    with pytest.raises(ValueError, match=r"step-0000004\.npz was written by"):
        training.fit(wider, PIXELS, 8, folder=tmp_path, **ARGUMENTS)


def test_a_kill_while_saving_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    trainer = make("pixel")
    path = tmp_path / "step-0000001.npz"
    training.save_checkpoint(path, trainer, 1, {"step": [1]})
    content = path.read_bytes()

    def die(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(training.np, "savez", die)
    with pytest.raises(KeyboardInterrupt):
        training.save_checkpoint(path, trainer, 1, {"step": [1]})
    assert path.read_bytes() == content and training.checkpoints(tmp_path) == [path]


# --- two players -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["patch", "bn"])
def test_a_step_of_one_network_does_not_move_the_other(kind):
    """Forward passes may renormalise (spectral norm, BatchNorm's averages); optimizers may not cross over."""
    lr, hr = batch = one_batch()
    for rate, d_rate in ((1e-2, 0.0), (0.0, 1e-2)):
        trainer = make("gan", rate=rate, d_rate=d_rate, kind=kind, adversarial=1.0)
        trainer.judge(hr, training=True), trainer.judge(hr, training=True)  # let spectral norm settle
        reference = make("gan", rate=rate, d_rate=d_rate, kind=kind, adversarial=1.0)
        reference.judge(hr, training=True), reference.judge(hr, training=True)
        g_before = values(trainer.generator.trainable_variables)
        logs = trainer.train_step(batch)
        reference.judge(hr, training=True)  # the passes of a step, without any optimizer
        reference.judge(reference.generator(lr, training=True), training=True)
        moved = [not np.array_equal(a, b) for a, b in zip(g_before, values(trainer.generator.trainable_variables))]
        d_pairs = zip(values(trainer.discriminator.trainable_variables), values(reference.discriminator.trainable_variables))
        d_moved = [not np.array_equal(a, b) for a, b in d_pairs]
        assert any(moved) == (rate > 0) and any(d_moved) == (d_rate > 0)
        assert (logs["g_update"] > 0) == (rate > 0) and (logs["d_update"] > 0) == (d_rate > 0)


def test_a_gan_step_equals_two_separate_tapes():
    lr, hr = batch = one_batch()
    sgd = {"optimizer": keras.optimizers.SGD, "rate": 0.1, "d_rate": 0.1, "kind": "bn", "adversarial": 1.0, "matching": 0}
    trainer, other = make("gan", **sgd), make("gan", **sgd)
    trainer.train_step(batch)
    tf, judge = training.tf, other.discriminator
    with tf.GradientTape() as tape:
        d_loss = losses.discriminator_loss(judge(hr, training=True), judge(other.generator(lr, training=True), training=True))
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


def test_a_perceptual_weight_without_features_is_refused():
    with pytest.raises(ValueError, match="features"):
        make("gan", perceptual=1.0)


def test_the_perceptual_window_depends_on_the_step_alone():
    trainer = make("gan", perceptual_size=8)
    images = np.arange(2 * 32 * 32 * 3, dtype="float32").reshape(2, 32, 32, 3)
    seen = []
    for step in (0, 1, 0):
        trainer.optimizer.iterations.assign(step)
        one, two = trainer.window(images, images)
        np.testing.assert_array_equal(one, two)
        assert one.shape == (2, 8, 8, 3)
        seen.append(np.asarray(one))
    np.testing.assert_array_equal(seen[0], seen[2])
    assert not np.array_equal(seen[0], seen[1])


# --- numbers ---------------------------------------------------------------------------------------


def test_another_seed_is_another_training():
    histories = [training.fit(make("pixel"), PIXELS, 3, seed=seed, **ARGUMENTS) for seed in (3, 3, 4)]
    np.testing.assert_allclose(histories[0]["pixel"], histories[1]["pixel"], rtol=1e-4)
    assert not np.allclose(histories[0]["pixel"], histories[2]["pixel"], rtol=1e-2)


@pytest.mark.parametrize("stage, term", [("pixel", "pixel"), ("gan", "adversarial")])
def test_the_guard_names_the_term_and_keeps_the_last_good_checkpoint(stage, term, tmp_path, monkeypatch):
    training.fit(make(stage), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    monkeypatch.setattr(losses, "generator_loss", lambda logits: keras.ops.mean(logits) * np.inf)
    broken = make(stage, **({"loss": lambda hr, sr: losses.mse_loss(hr, sr) * np.inf} if stage == "pixel" else {}))
    with pytest.raises(FloatingPointError) as caught:
        training.fit(broken, PIXELS, 12, folder=tmp_path, **ARGUMENTS)
    assert f"step 5: the term {term!r} became" in str(caught.value) and "step-0000004.npz" in str(caught.value)
    assert [path.name for path in training.checkpoints(tmp_path)] == ["step-0000004.npz"]


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
    assert np.abs(training.predict(trainer.ema, lr) - hr).mean() < bicubic


@pytest.mark.parametrize("bad", [lambda lr: lr * 2 - 1, lambda lr: lr * 255, lambda lr: (lr * 255).astype("uint8")])
def test_predict_refuses_another_range(bad):
    lr = data.degrade(data.to_float(PIXELS[:1]))
    with pytest.raises(ValueError, match="expected"):
        training.predict(make("pixel").ema, bad(lr))


def test_fit_refuses_images_that_are_not_pixels():
    with pytest.raises(ValueError, match="uint8"):
        training.fit(make("pixel"), data.to_float(PIXELS), 2, **ARGUMENTS)


# --- recipes ---------------------------------------------------------------------------------------


def test_every_recipe_builds_from_a_rung_that_has_one():
    assert set(training.RECIPES) == set(models.GENERATORS)
    for name, recipe in training.RECIPES.items():
        assert recipe.start is None or recipe.start in training.RECIPES
        assert recipe.discriminator is None or recipe.discriminator in training.DISCRIMINATORS
        assert (recipe.discriminator is None) == (recipe.adversarial == 0), name
