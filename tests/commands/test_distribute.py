"""Several replicas are one training: the same losses and weights; and a lost worker ends the job, not the work."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from unittest import mock

import keras
import numpy as np
import pytest
from PIL import Image

from srlib import checkpoints, commands, datasets, models, pretrained, recipes, runtime, training
from srlib.commands import distribute

tf = distribute.tf
CHANGES = ["steps=4", "batch=4", "patch=64"]
RECIPE = recipes.changed(recipes.RECIPES["srresnet"], CHANGES)
TOLERANCE = 1e-3  # float32: the same numbers, added in another order; the game makes more of it at every step
TINY = """
import sys
from srlib.commands import distribute, main
if sys.argv.pop() == "two devices":
    cpu, half = distribute.tf.config.list_physical_devices("CPU")[0], distribute.tf.config.LogicalDeviceConfiguration()
    distribute.tf.config.set_logical_device_configuration(cpu, [half, half])
    distribute.connect = lambda timeout: distribute.tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
from srlib import recipes
import test_distribute
recipes.build_trainer = test_distribute.make
sys.exit(main(sys.argv[1:]))
"""


def make(*_):
    """A tiny GAN with all that replicas could do differently: batch statistics, spectral normalisation, random labels.

    SGD: Adam would hide that gradients are a factor too long, for it divides by their size.
    """
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    x = keras.layers.LeakyReLU()(keras.layers.SpectralNormalization(keras.layers.Conv2D(8, 3, 2))(image))
    x = keras.layers.LeakyReLU()(models.FusedBatchNormalization()(keras.layers.Conv2D(8, 3, 2)(x)))
    discriminator = keras.Model(image, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(x)))
    trainer = training.GANTrainer(
        models.srresnet(1, 8), discriminator, perceptual=0, relativistic=True, label_smoothing=0.1
    )
    trainer.compile(keras.optimizers.SGD(0.02), keras.optimizers.SGD(0.02))
    return trainer


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A folder of 24 images."""
    folder = tmp_path_factory.mktemp("faces")
    for index, pixels in enumerate(datasets.sample(runtime.PROFILES["smoke"]).train):
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    return folder


@pytest.fixture(scope="module")
def alone(faces, tmp_path_factory):
    """The folder of the training on one device, by the ordinary `fit`, with checkpoints of its steps 2 and 4."""
    folder, photos = tmp_path_factory.mktemp("alone"), datasets.load(faces, runtime.PROFILES["full"])
    recipes.claim("srresnet", folder, RECIPE, photos, seed=0)
    training.fit(make(), photos.train, 4, 4, photos.val, folder, every=2, patch=64)
    return folder


def start(count, folder, words, **environment):
    """Start the command in `count` workers; returns the processes and the file of what they say."""
    said, path = folder.with_suffix(".said"), os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])
    with contextlib.ExitStack() as held:  # every port is held until the last is found
        probes = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        cluster = {"worker": [f"127.0.0.1:{probe.getsockname()[1]}" for probe in probes]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(count)]
    with open(said, "w") as file:
        return [
            subprocess.Popen(
                [sys.executable, *map(str, words)],
                env={**os.environ, "PYTHONPATH": path, "TF_CONFIG": json.dumps(task), **environment},
                stdout=file,
                stderr=file,
            )
            for task in tasks
        ], said


def assert_same(folder, alone):
    """A training of several replicas has the losses and weights of the one on one device."""
    ours, theirs = (pretrained.columns(pretrained.read_rows(where / "history.csv")) for where in (folder, alone))
    for name in {"pixel", "adversarial", "d_loss", "d_real", "g_update", "d_update"}:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=TOLERANCE, err_msg=name)
    trainer, states = make(), []
    for where in (folder, alone):
        assert checkpoints.resume(where, trainer) == 4  # one process can read it
        states.append([variable.numpy() for variable in trainer.state()])
    for variable, ours, theirs in zip(trainer.state(), *states, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE, err_msg=variable.path)


@pytest.mark.slow
@pytest.mark.parametrize("workers, how", [(1, "two devices"), (2, "two workers")])
def test_two_replicas_go_on_as_one_would(workers, how, faces, alone, tmp_path):
    """From its checkpoint in the middle, which the chief alone reads, and past a proxy that leads nowhere."""
    folder = tmp_path / "run"
    shutil.copytree(alone, folder, ignore=shutil.ignore_patterns("step-4.*", "checkpoint"))
    words = ["-c", TINY, "distribute", "srresnet", "--folder", folder, "--data", faces, "--set", *CHANGES, how]
    processes, said = start(workers, folder, words, http_proxy="http://127.0.0.1:9", no_proxy="")
    assert [process.wait(300) for process in processes] == [0] * workers, said.read_text()
    assert "resumed at step 2" in said.read_text() and "on 2 replicas" in said.read_text()
    assert_same(folder, alone)


@pytest.mark.slow
def test_one_device_trains_as_ever(faces, alone, tmp_path, monkeypatch):
    """From the first step on."""
    monkeypatch.setattr(recipes, "build_trainer", make)
    commands.run("distribute", ["srresnet", "--folder", str(tmp_path), "--data", str(faces), "--set", *CHANGES])
    assert_same(tmp_path, alone)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_worker_ends_the_job_and_loses_nothing(faces, tmp_path, request):
    """The command as a user types it, on a network of the benchmark; its folder is looked at while it is in use."""
    folder, changes = tmp_path / "run", ["steps=100000", "batch=2", "patch=32"]
    recipe, photos = (
        recipes.changed(recipes.RECIPES["facesr-light"], changes),
        datasets.load(faces, runtime.PROFILES["full"]),
    )
    words = ["-m", "srlib", "distribute", "facesr-light", "--folder", folder, "--data", faces, "--set", *changes]
    processes, said = start(2, folder, words)
    for process in processes:
        request.addfinalizer(process.kill)
    while not checkpoints.saved(folder):
        assert not any(process.poll() for process in processes), said.read_text()
        time.sleep(0.1)
    with pytest.raises(OSError, match="another process is training"):
        distribute.train("facesr-light", folder, recipe, photos, tf.distribute.get_strategy())
    processes[1].kill()
    assert [process.wait(60) for process in processes] == [3, -signal.SIGKILL], said.read_text()
    assert "lost another worker in step" in said.read_text() and "go on from the last checkpoint" in said.read_text()
    with pytest.raises(ValueError, match="another training .seed was 0, now 1.;"):  # run.json differs in nothing else
        recipes.claim("facesr-light", folder, recipe, photos, seed=1)
    assert checkpoints.resume(folder, recipes.build_trainer("facesr-light", recipe)) >= 250


def test_a_lost_or_silent_worker_ends_the_process(monkeypatch, capsys):
    process = mock.Mock()
    monkeypatch.setattr(distribute, "faulthandler", process)
    monkeypatch.setattr(os, "_exit", process.exit)
    with distribute.watched(60, "in step 8"):
        raise tf.errors.UnavailableError(None, None, "Graph\n\naborted by: Connection reset by peer\nmore")
    assert process.mock_calls == [
        mock.call.dump_traceback_later(60, exit=True, file=2),
        mock.call.exit(3),
        mock.call.cancel_dump_traceback_later(),
    ]
    assert "in step 8 (Connection reset by peer); start" in capsys.readouterr().out


def test_gradients_are_averaged_once():
    optimizer, weight = keras.optimizers.SGD(0.1), keras.Variable(1.0)
    for _ in range(2):  # a second training must not divide again
        distribute.average_gradients(optimizer, 4)
    optimizer.apply([keras.ops.convert_to_tensor(8.0)], [weight])
    assert float(weight) == pytest.approx(1 - 0.1 * 8 / 4)


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path):
    with pytest.raises(ValueError, match="batch is 4, for 3 replicas"):
        distribute.train("srresnet", tmp_path, RECIPE, None, mock.Mock(num_replicas_in_sync=3))
