"""Training that can be trusted: exact resume after a kill, two networks that do not move each other, guards."""

import csv
import json
import pathlib
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from srlib import data, losses, models, pretrained, runtime, training

ROOT = pathlib.Path(__file__).parent.parent
PIXELS = data.sample(runtime.PROFILES["smoke"]).train
ARGUMENTS = {"batch": 2, "patch": 32, "every": 4, "verbose": False}


def discriminator(kind="patch"):
    return models.patch_discriminator(8, 2) if kind == "patch" else models.srgan_discriminator(4)


def facesr():
    return models.facesr(blocks=1, filters=8, tail=(8, 8))


def make(
    stage, policy="float32", rate=1e-3, d_rate=1e-3, kind="patch", optimizer=keras.optimizers.Adam, network=facesr, **options
):  # fmt: skip
    """A tiny compiled trainer of stage `pixel` or `gan`, the same at every call."""
    keras.utils.set_random_seed(0)
    with runtime.precision(policy):
        generator = network()
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


def one_batch():
    return tuple(keras.ops.convert_to_tensor(images) for images in data.batch_at(PIXELS, 0, 2, patch=32))


def without_time(history):
    return {name: column for name, column in history.items() if name != "seconds"}


# --- resume ----------------------------------------------------------------------------------------

# Real architectures in miniature, where three and more gradients meet in a tensor: residual blocks and a long
# skip, BatchNorm, spectral norm, feature matching. Threads as they come.
CASES = {
    "pixel": {"network": lambda: models.srresnet(blocks=1, filters=8)},
    "gan": {"policy": "mixed_bfloat16", "network": lambda: models.facesr(blocks=2, filters=8, tail=(8, 8))},
}
TRAIN = """
import os, signal, sys
sys.path[:0] = [{root!r}, {tests!r}]
import numpy as np
import test_training as t
from srlib import training

def half_a_file(file, **arrays):
    file.write(b"PK half an archive")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

if {while_saving}:
    training.np.savez = half_a_file
trainer = t.make({stage!r}, **t.CASES[{stage!r}])
step = [int(path.stem.split("-")[1]) for path in training.checkpoints({folder!r})][-1:] or [0]
class Kill(t.keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if step[0] + batch + 1 == {at}:
            os.kill(os.getpid(), signal.SIGKILL)
training.fit(trainer, t.PIXELS, {steps}, folder={folder!r}, callbacks=[Kill()], **t.ARGUMENTS)
np.savez({folder!r} + "/final.npz", *t.values(trainer.state()))
"""
STEPS = 18


def child(stage, folder, at=0, while_saving=False):
    """A process that trains in `folder`; it kills itself after step `at`, or in the middle of the next checkpoint."""
    fields = {"root": str(ROOT), "tests": str(ROOT / "tests"), "steps": STEPS, "at": at, "while_saving": while_saving}
    script = TRAIN.format(stage=stage, folder=str(folder), **fields)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_training_ends_with_the_same_bits(tmp_path):
    """Three kills after random steps and one in the middle of a write; then the rest; against one straight run."""
    rng = np.random.default_rng()
    kills = {stage: sorted(int(step) for step in rng.choice(np.arange(1, STEPS), 3, replace=False)) for stage in CASES}
    plans = {stage: [(at, False) for at in kills[stage]] + [(0, False)] for stage in CASES}
    plans["gan"].insert(1, (0, True))
    for turn in range(max(map(len, plans.values()))):
        running = {stage: child(stage, tmp_path / stage, *plan[turn]) for stage, plan in plans.items() if turn < len(plan)}
        for stage, process in running.items():
            said, errors = process.communicate(timeout=300)
            last = turn == len(plans[stage]) - 1
            assert process.returncode == (0 if last else -signal.SIGKILL), f"{stage} {kills}: {errors[-2000:]}"
            if plans[stage][turn][1]:
                assert list((tmp_path / stage).glob("*.partial")) and not re.search("damaged", said)
    for stage, options in CASES.items():
        trainer = make(stage, **options)
        history = training.fit(trainer, PIXELS, STEPS, **ARGUMENTS)  # in this process, in one go
        with np.load(tmp_path / stage / "final.npz") as file:
            assert_same([file[name] for name in file.files], values(trainer.state()))
        _, resumed = training.load_checkpoint(training.checkpoints(tmp_path / stage)[-1], make(stage, **options))
        assert without_time(resumed) == without_time(history), f"{stage}, killed after {kills[stage]}"
        assert not list((tmp_path / stage).glob("*.partial"))


def test_no_sum_of_gradients_depends_on_the_moment():
    """TensorFlow's AddN begins with whichever of its inputs is free; for three terms, the last digit follows."""
    trainer = make("gan", kind="bn", network=lambda: models.srresnet(blocks=1, filters=8))
    graph = training.tf.function(trainer.train_step).get_concrete_function(one_batch()).graph
    operations = [op for g in [graph, *(f.graph for f in graph._functions.values() if hasattr(f, "graph"))] for op in g.get_operations()]
    assert [op.name for op in operations if op.type == "AddN" and len(op.inputs) > 2] == []
    assert len(operations) > 500


def test_the_state_of_random_layers_is_resumed(tmp_path):
    def network():
        inputs = keras.Input((None, None, 3))
        x = keras.layers.Dropout(0.5)(keras.layers.Conv2D(48, 3, padding="same")(inputs))
        return keras.Model(inputs, models.PixelShuffle(4)(x), name="noisy")

    straight = make("pixel", network=network)
    history = training.fit(straight, PIXELS, 7, **ARGUMENTS)
    training.fit(make("pixel", network=network), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    resumed = make("pixel", network=network)
    assert without_time(training.fit(resumed, PIXELS, 7, folder=tmp_path, **ARGUMENTS)) == without_time(history)
    assert_same(values(straight.state()), values(resumed.state()))


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
    assert [path.name for path in training.checkpoints(tmp_path)] == ["step-0000012.npz", "step-0000014.npz"]


def test_the_history_is_a_table(tmp_path):
    for name in ("step-0000001.npz.partial", "history.csv.123.partial", "mine.pdf.partial"):
        (tmp_path / name).write_bytes(b"left by a kill, or a download of yours")
    history = training.fit(make("pixel"), PIXELS, 6, folder=tmp_path, val=PIXELS[:2], **ARGUMENTS)
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["pixel"]) for row in rows] == history["pixel"] and rows[0]["val_psnr"] == ""
    assert float(rows[5]["val_psnr"]) == history["val_psnr"][5]
    assert [path.name for path in tmp_path.glob("*.partial")] == ["mine.pdf.partial"]


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


def damaged(content, damage):
    if damage == "flip":
        content = content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 0xFF]) + content[len(content) // 2 + 1 :]
    return {"cut": content[: len(content) // 2], "flip": content, "empty": b"", "text": b"no archive"}[damage]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_checkpoint_is_refused_by_name(damage, tmp_path):
    training.save_checkpoint(tmp_path / "step-0000004.npz", make("pixel"), 4, {})
    (path,) = training.checkpoints(tmp_path)
    path.write_bytes(damaged(path.read_bytes(), damage))
    fresh = make("pixel", rate=0)
    before = values(fresh.state())
    with pytest.raises(training.DamagedCheckpoint, match=r"step-0000004\.npz is damaged"):
        training.load_checkpoint(path, fresh)
    with pytest.raises(ValueError, match=r"every checkpoint .* is damaged \(step-0000004\.npz\); delete"):
        training.fit(fresh, PIXELS, 8, folder=tmp_path, **ARGUMENTS)
    assert_same(before, values(fresh.state()))


def test_the_checkpoint_before_a_damaged_one_is_taken_and_said(tmp_path, capsys):
    straight = make("pixel")
    history = training.fit(straight, PIXELS, 10, folder=tmp_path, **ARGUMENTS)
    path = tmp_path / "step-0000010.npz"
    path.write_bytes(damaged(path.read_bytes(), "cut"))
    resumed = make("pixel")
    again = training.fit(resumed, PIXELS, 10, folder=tmp_path, **ARGUMENTS)
    said = capsys.readouterr().out
    assert "step-0000010.npz is damaged" in said and "resumed at step 8 from step-0000008.npz" in said
    assert_same(values(straight.state()), values(resumed.state()))
    assert without_time(again) == without_time(history)
    assert (tmp_path / "step-0000010.npz.damaged").exists() and len(training.checkpoints(tmp_path)) == 2


def test_a_lowered_learning_rate_counts_after_a_resume(tmp_path, capsys):
    """What `advice` tells the learner to do; a schedule, which is a function of the step, goes on as before."""
    training.fit(make("gan"), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    lower = make("gan", rate=1e-4, d_rate=5e-4)
    training.fit(lower, PIXELS, 6, folder=tmp_path, **ARGUMENTS)
    assert float(lower.optimizer.learning_rate) == np.float32(1e-4) and float(lower.d_optimizer.learning_rate) == np.float32(5e-4)
    assert "is 0.0005, but was 0.001 when step-0000004.npz was written" in capsys.readouterr().out


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), PermissionError(13, "Permission denied"), MemoryError()])
def test_a_checkpoint_that_cannot_be_read_now_is_not_called_damaged(error, tmp_path, monkeypatch):
    """A drive that has gone, or no memory: the file may be whole, and stays where it is."""
    training.save_checkpoint(tmp_path / "step-0000004.npz", make("pixel"), 4, {})

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(type(error)):
        training.fit(make("pixel"), PIXELS, 8, folder=tmp_path, **ARGUMENTS)
    assert [path.name for path in tmp_path.glob("step*")] == ["step-0000004.npz"]


def test_a_kill_between_a_checkpoint_and_its_snapshot_costs_no_snapshot(tmp_path):
    recipe, trainer = training.Recipe(steps=200), make("pixel")
    snapshots = training._Snapshots(tmp_path, recipe)
    snapshots.set_model(trainer)
    snapshots.on_train_begin()
    assert not list(tmp_path.iterdir()) and snapshots.moments == {1, 4, 20, 60, 200}
    trainer.optimizer.iterations.assign(4)  # as after a resume
    snapshots.on_train_begin()
    assert [path.name for path in tmp_path.iterdir()] == ["0000004.npy"]
    assert np.load(tmp_path / "0000004.npy").shape == (2, 128, 128, 3)


def test_no_flipped_bit_passes_as_another_state(tmp_path):
    path, trainer = tmp_path / "step-0000004.npz", make("pixel")
    training.save_checkpoint(path, trainer, 4, {"step": [1, 2, 3, 4]})
    content, expected, rng, refused = path.read_bytes(), values(trainer.state()), np.random.default_rng(0), 0
    for place in rng.integers(0, len(content), 80):
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << rng.integers(8))]) + content[place + 1 :])
        try:
            assert training.load_checkpoint(path, trainer) == (4, {"step": [1, 2, 3, 4]})
        except ValueError as error:
            assert path.name in str(error)
            refused += 1
        assert_same(expected, values(trainer.state()))
    assert refused > 40


def test_a_checkpoint_cannot_execute_anything(tmp_path):
    class Payload:
        def __reduce__(self):
            return (pathlib.Path(tmp_path / "executed").touch, ())

    np.savez(tmp_path / "step-0000004.npz", note=np.array("{}"), v0000=np.array([Payload()], dtype=object))
    with pytest.raises(training.DamagedCheckpoint, match="step-0000004.npz is damaged.*allow_pickle=False"):
        training.load_checkpoint(tmp_path / "step-0000004.npz", make("pixel"))
    assert not (tmp_path / "executed").exists()
    for path in (ROOT / "srlib").glob("*.py"):
        assert not re.search(r"import pickle|allow_pickle=True|safe_mode|joblib", path.read_text()), path.name


def test_another_order_of_the_batches_is_said(tmp_path, capsys):
    training.fit(make("pixel"), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    training.fit(make("pixel"), PIXELS, 6, folder=tmp_path, seed=3, **ARGUMENTS)
    assert "seed is 3, but was 0 when step-0000004.npz was written" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_full_disk_keeps_the_earlier_checkpoints(tmp_path):
    """The limit on a file's size fails in the middle of a write, as a full disk does."""
    import resource

    straight = make("pixel")
    training.fit(straight, PIXELS, 8, **ARGUMENTS)
    training.fit(make("pixel"), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    (path,) = training.checkpoints(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write the checkpoint .*step-0000008.npz .*earlier ones are intact"):
            training.fit(make("pixel"), PIXELS, 8, folder=tmp_path, **ARGUMENTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert training.checkpoints(tmp_path) == [path] and not list(tmp_path.glob("*.partial"))
    resumed = make("pixel")
    training.fit(resumed, PIXELS, 8, folder=tmp_path, **ARGUMENTS)
    assert_same(values(straight.state()), values(resumed.state()))


def test_a_foreign_checkpoint_is_refused_by_name(tmp_path):
    training.fit(make("pixel"), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    with pytest.raises(ValueError, match=r"step-0000004\.npz was written by PixelTrainer .* not by this GANTrainer"):
        training.fit(make("gan"), PIXELS, 8, folder=tmp_path, **ARGUMENTS)
    wider = training.PixelTrainer(models.facesr(blocks=1, filters=12, tail=(8, 8)))
    wider.compile(keras.optimizers.Adam(1e-3))
    with pytest.raises(ValueError, match=r"step-0000004\.npz was written by"):
        training.fit(wider, PIXELS, 8, folder=tmp_path, **ARGUMENTS)


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


def test_a_relativistic_discriminator_judges_pairs():
    """Its loss is softplus of the difference; both beliefs then add up to one, and the lattice term enters by its weight."""
    lr, hr = batch = one_batch()
    options = {"rate": 0.0, "d_rate": 0.0, "kind": "bn", "relativistic": True, "lattice": 2.0}
    trainer, other = make("gan", **options), make("gan", **options)
    logs = {name: float(value) for name, value in trainer.train_step(batch).items()}
    sr = other.generator(lr, training=True)
    margin = np.array(other.discriminator(hr, training=True) - other.discriminator(sr, training=True))
    assert logs["d_loss"] == pytest.approx(np.mean(np.log1p(np.exp(-margin))), rel=1e-4)
    assert logs["adversarial"] == pytest.approx(np.mean(np.log1p(np.exp(margin))), rel=1e-4)
    assert logs["d_real"] + logs["d_fake"] == pytest.approx(1, abs=1e-5)
    assert logs["lattice"] == pytest.approx(float(losses.lattice_loss(hr, sr)), rel=1e-4)


def test_a_discriminator_of_fixed_size_sees_its_own_window():
    with runtime.precision("float32"):
        trainer = training.GANTrainer(models.facesr(0, 8, ()), models.dcgan_discriminator(), perceptual=0, window_size=16)
    assert trainer.window_size == data.HR_SIZE


def test_a_perceptual_weight_without_features_is_refused():
    with pytest.raises(ValueError, match="features"):
        make("gan", perceptual=1.0)


def test_the_perceptual_window_depends_on_the_step_alone():
    trainer = make("gan", window_size=8)
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
    assert histories[0]["pixel"] == histories[1]["pixel"]
    assert not np.allclose(histories[0]["pixel"], histories[2]["pixel"], rtol=1e-2)


@pytest.mark.parametrize("stage, term", [("pixel", "pixel"), ("gan", "adversarial")])
def test_the_guard_names_the_term_and_keeps_the_last_good_checkpoint(stage, term, tmp_path, monkeypatch):
    training.fit(make(stage), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    monkeypatch.setattr(losses, "generator_loss", lambda logits: keras.ops.mean(logits) * np.inf)
    broken = make(stage, **({"loss": lambda hr, sr: losses.mse_loss(hr, sr) * np.inf} if stage == "pixel" else {}))
    with pytest.raises(FloatingPointError) as caught:
        training.fit(broken, PIXELS, 12, folder=tmp_path, **ARGUMENTS)
    said = str(caught.value)
    assert f"step 5: the term {term!r} became" in said and "begins in the loss itself" in said
    assert "step-0000004.npz; remove the cause and call fit again" in said
    assert [path.name for path in training.checkpoints(tmp_path)] == ["step-0000004.npz"]


@pytest.mark.parametrize("stage", ["pixel", "gan"])
def test_the_guard_names_the_layer(stage, monkeypatch):
    broken = make(stage)
    layer = [layer for layer in broken.generator.layers if isinstance(layer, keras.layers.Conv2D)][1]
    kernel = layer.kernel.numpy()
    kernel[0, 0, 0, 0] = np.nan
    layer.kernel.assign(kernel)
    with pytest.raises(FloatingPointError, match=f"begins in the layer '{layer.name}' of the generator"):
        training.fit(broken, PIXELS, 4, **ARGUMENTS)
    if stage == "gan":
        broken = make(stage)
        layer = [layer for layer in broken.discriminator.layers if isinstance(layer, keras.layers.LeakyReLU)][0]
        monkeypatch.setattr(layer, "call", lambda x: x * np.float32(np.inf))
        with pytest.raises(FloatingPointError, match=f"begins in the layer '{layer.name}' of the discriminator"):
            training.fit(broken, PIXELS, 4, **ARGUMENTS)


def test_an_update_that_is_not_finite_is_taken_back():
    weight = keras.Variable(np.ones(3, "float32"))
    ratio = training.apply_update(keras.optimizers.SGD(0.5), [keras.ops.convert_to_tensor([1.0, np.nan, 1.0])], [weight])
    assert not np.isfinite(ratio)
    np.testing.assert_array_equal(weight, [1, 1, 1])


def test_float16_scales_the_loss():
    batch = one_batch()
    logs = {}
    for policy in ("float32", "mixed_float16"):
        trainer = make("gan", policy, adversarial=1.0)
        logs[policy] = {name: float(value) for name, value in trainer.train_step(batch).items()}
        scale = {"float32": None, "mixed_float16": 1024.0}[policy]
        assert trainer.optimizer.loss_scale_factor == scale
    for name in ("pixel", "adversarial", "d_loss", "g_gradient", "d_gradient", "g_update"):
        assert logs["mixed_float16"][name] == pytest.approx(logs["float32"][name], rel=0.05), name


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


@pytest.mark.parametrize("shape", [(16, 16, 3), (1, 4, 16, 3)])
def test_predict_refuses_another_shape(shape):
    with pytest.raises(ValueError, match=r"lr\[None\]"):
        training.predict(facesr(), np.zeros(shape, "float32"))


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
        ({"verbose": "loud"}, "verbose is 'loud'"),
        ({"folder": __file__}, "is a file"),
        ({"trainer": models.facesr(blocks=1, filters=8)}, "compiled PixelTrainer"),
    ],
)
def test_fit_checks_its_arguments(bad, words):
    arguments = {"trainer": make("pixel"), "pixels": PIXELS, "steps": 2, **ARGUMENTS, **bad}
    with pytest.raises(ValueError, match=words):
        training.fit(**arguments)


def test_trainers_and_schedules_check_their_arguments():
    with pytest.raises(ValueError, match="ema_decay is 1"):
        make("pixel", ema_decay=1)
    with pytest.raises(ValueError, match="steps 0"):
        training.cosine_schedule(1e-3, 0)


# --- what the reader sees --------------------------------------------------------------------------


def test_progress_is_a_bar_lines_or_nothing(capsys):
    said = {}
    for verbose in ("auto", 0, 1, 2):
        training.fit(make("pixel"), PIXELS, 4, val=PIXELS[:2], **{**ARGUMENTS, "verbose": verbose})
        said[verbose] = capsys.readouterr().out
    assert said[0] == "" and re.search(r"4/4.*step.*pixel: .*val_psnr: ", said[1].splitlines()[-1])
    for text in (said[2], said["auto"]):  # the output is captured, hence no terminal
        (line,) = text.splitlines()
        assert re.fullmatch(r"step +4/4  pixel [\d.]+  val [\d.]+ dB  \d+ images/s  0.0 min left", line)


def panel(steps=40, **columns):
    healthy = {"g_gradient": 0.1, "g_update": 1e-3, "d_gradient": 0.1, "d_update": 1e-2, "d_real": 0.6, "d_fake": 0.4}
    return {"step": list(range(1, steps + 1)), **{k: [v] * steps if np.isscalar(v) else v for k, v in (healthy | columns).items()}}


@pytest.mark.parametrize(
    "columns, words",
    [
        ({}, "a game"),
        ({"d_real": 0.99, "d_fake": 0.01}, "D wins"),
        ({"d_real": 0.5, "d_fake": 0.499}, "D is blind"),
        ({"d_real": 0.4, "d_fake": 0.6}, "D is wrong"),
        ({"g_update": 0.05}, "divide its learning rate by ten"),
        ({"d_update": 1e-6}, "D's update .* learns nothing"),
        ({"g_gradient": [0.1] * 36 + [5.0] * 4}, "G's gradient has grown tenfold"),
    ],
)
def test_the_panel_in_words(columns, words):
    (said,) = training.advice(panel(**columns))
    assert re.search(words, said)


def test_the_panel_of_stage_one_in_words():
    assert training.advice({"step": [1, 2], "g_gradient": [0.1, 0.1], "g_update": [1e-3, 1e-3]}) == [
        "Nothing unusual: updates and gradients are in their ranges."
    ]


# --- tiles -----------------------------------------------------------------------------------------


def random_weights(model):
    """Weights that let every layer speak, also the last one, which starts at zero."""
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.05, w.shape).astype("float32") for w in model.get_weights()])
    return model


@pytest.mark.parametrize("network", [facesr, models.srcnn, lambda: models.srresnet(blocks=1, filters=8), models.GENERATORS["facesr-light"]])
def test_no_pixel_beyond_the_reach_matters(network):
    model = random_weights(network())
    unclipped = keras.Model(model.inputs[0], model.get_layer("image").input)
    far, size = training.reach(model), 2 * training.reach(model) + 9
    image = np.random.default_rng(1).random((1, size, size, 3), dtype="float32")
    changed = image.copy()
    changed[:, size // 2, size // 2] += 0.3
    moved = np.abs(np.asarray(unclipped(changed)) - np.asarray(unclipped(image))).max(axis=(0, 3))
    rows = np.flatnonzero(moved.max(axis=1)) // 4
    assert size // 2 - far <= rows.min() and rows.max() <= size // 2 + far
    assert rows.max() - size // 2 >= far - 3, "the bound is far too generous"


def test_a_layer_that_sees_everything_has_no_reach():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Multiply()([inputs, keras.layers.GlobalAveragePooling2D(keepdims=True)(inputs)])
    with pytest.raises(ValueError, match="GlobalAveragePooling2D"):
        training.reach(keras.Model(inputs, x))


@pytest.mark.parametrize("name", ["facesr-light", "facesr"])
def test_tiles_equal_the_whole(name):
    from srlib import pretrained

    model, side = pretrained.load(name), 40
    image = np.ascontiguousarray(data.portraits()[0][:93, :101])
    whole = training.predict(model, data.to_float(image)[None])[0]
    tiled = np.full_like(whole, np.nan)
    for y, x, sr in training.predict_tiles(model, image, side):
        tiled[4 * y : 4 * y + sr.shape[0], 4 * x : 4 * x + sr.shape[1]] = sr
    assert np.abs(tiled - whole).max() < 2e-6
    assert np.abs(np.diff(data.to_uint8(np.stack([tiled, whole])).astype(int), axis=0)).max() <= 1


def test_enlarge_takes_a_photo_of_any_size(tmp_path, monkeypatch, capsys):
    from srlib import pretrained

    photo = np.ascontiguousarray(data.portraits()[1][:41, :60])
    data.Image.fromarray(photo).save(tmp_path / "small.png")
    whole = pretrained.enlarge(photo, "facesr-light", verbose=0)
    tiled = pretrained.enlarge(tmp_path / "small.png", "facesr-light", tile=16, verbose=1)
    assert whole.shape == (164, 240, 3) and whole.dtype == np.uint8 and "12/12" in capsys.readouterr().out
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    for bad, words in ((photo[:7], "at least 8"), (photo / 255, "to_uint8"), (photo[..., 0], "uint8")):
        with pytest.raises(ValueError, match=words):
            pretrained.enlarge(bad, "facesr-light")
    monkeypatch.setattr(pretrained, "MAX_ENLARGE", 1_000)
    with pytest.raises(ValueError, match="60x41 pixels; the limit is 1,000"):
        pretrained.enlarge(photo, "facesr-light")


# --- recipes ---------------------------------------------------------------------------------------


def test_every_recipe_builds_from_a_rung_that_has_one():
    assert set(training.RECIPES) == set(models.GENERATORS)
    for name, recipe in training.RECIPES.items():
        assert recipe.start is None or recipe.start in training.RECIPES
        assert recipe.discriminator is None or recipe.discriminator in training.DISCRIMINATORS
        assert (recipe.discriminator is None) == (recipe.adversarial == 0), name


def test_a_recipe_reaches_its_trainer():
    """Four different weights: none may end up in another's place."""
    recipe = training.Recipe(
        steps=10, learning_rate=3e-4, loss="mse", discriminator="patch", pixel=0.1, perceptual=0.2, adversarial=0.3, matching=0.4,
        lattice=0.5, relativistic=True,
    )  # fmt: skip
    trainer = training.build_trainer("facesr-light", recipe)
    assert trainer.weights_of == {"pixel": 0.1, "perceptual": 0.2, "adversarial": 0.3, "matching": 0.4, "lattice": 0.5}
    assert trainer.relativistic and trainer.pixel_loss is losses.mse_loss
    assert float(trainer.d_optimizer.learning_rate) == pytest.approx(3e-4)


def test_a_folder_belongs_to_one_recipe_and_one_start(tmp_path, monkeypatch):
    """Otherwise a resume would train on under another recipe's name, or from the start network's older weights."""
    photos = data.sample(runtime.PROFILES["smoke"])
    recipe = training.Recipe(steps=2, batch=2, patch=32)
    training.train_rung("srcnn", tmp_path / "a", recipe, photos)
    assert training.train_rung("srcnn", tmp_path / "a", recipe, photos)[1]["images_seen"] == 4  # the same: goes on
    with pytest.raises(ValueError, match="another recipe or from another start"):
        training.train_rung("srcnn", tmp_path / "a", training.Recipe(steps=4, batch=2, patch=32), photos)
    (tmp_path / "a" / "recipe.json").unlink()  # made by something else, for example `distributed`
    with pytest.raises(ValueError, match="holds 2 steps, the recipe says 1"):
        training.train_rung("srcnn", tmp_path / "a", training.Recipe(steps=1, batch=2, patch=32), photos)
    started = training.Recipe(steps=2, batch=2, patch=32, start="facesr-light")
    training.train_rung("facesr-light", tmp_path / "b", started, photos)
    monkeypatch.setattr(pretrained, "info", lambda name, real=pretrained.info: real(name) | {"sha256": "of newer weights"})
    with pytest.raises(ValueError, match="another recipe or from another start"):
        training.train_rung("facesr-light", tmp_path / "b", started, photos)

def test_the_command_trains_a_rung_and_goes_on(tmp_path, capsys, monkeypatch):
    """`python -m srlib.training`: it writes weights that load, counts the images, and the same command again finds the work done."""
    words = ["srcnn", "--data", "sample", "--steps", "4", "--batch", "2", "--folder", str(tmp_path)]
    training.main(words)
    info = json.loads((tmp_path / "weights" / "index.json").read_text())["srcnn"]
    assert info["images_seen"] == 8 and info["recipe"]["batch"] == 2 and np.isfinite(info["val_psnr"])
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "weights")
    assert [w.shape for w in pretrained.load_arrays("srcnn")] == [w.shape for w in models.srcnn().get_weights()]
    training.main(words)
    assert "resumed at step 4 " in capsys.readouterr().out
    for bad in (["--steps", "0"], ["--batch", "-1"]):
        with pytest.raises(SystemExit):
            training.main([*words, *bad])
    assert "at least 1" in capsys.readouterr().err
