"""Several replicas are one training: the same losses and weights, and a lost worker ends the job, not the work."""

import contextlib
import functools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from srlib import data, distributed, models, runtime, training

ROOT = pathlib.Path(__file__).parent.parent
PIXELS = data.sample(runtime.PROFILES["smoke"]).train
STEPS = 8
ARGUMENTS = {"batch": 4, "patch": 64, "every": 4, "verbose": False}
TOLERANCE = 1e-3  # float32: the same numbers, added in another order, and grown for 8 steps


def make(stage, factor=1):
    """A tiny trainer. SGD: Adam would hide that gradients are a factor too long, it divides by their size."""
    keras.utils.set_random_seed(0)
    generator = models.facesr(blocks=1, filters=8, tail=(8, 8))
    if stage == "pixel":
        trainer = training.PixelTrainer(generator)
        trainer.compile(keras.optimizers.SGD(0.2 * factor, momentum=0.9))
    else:
        trainer = training.GANTrainer(
            generator, models.patch_discriminator(8, 2), perceptual=0, matching=0.1, lattice=0.5, window_size=32, relativistic=True
        )
        trainer.compile(keras.optimizers.SGD(0.1 * factor), keras.optimizers.SGD(0.1 * factor))
    return trainer


CHILD = """
import sys, time
sys.path[:0] = [{root!r}, {tests!r}]
from srlib import distributed
strategy = distributed.connect({replicas}, timeout=150)
import test_distributed as t

class Slowly(t.keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep({pause})

with strategy.scope():
    trainer = t.make({stage!r})
folder = {folder!r} if distributed.is_chief(strategy) or {shared} else {folder!r} + "-elsewhere"
try:
    distributed.fit(strategy, trainer, t.PIXELS, {steps}, folder=folder, callbacks=[Slowly()], timeout={timeout}, **t.ARGUMENTS)
except distributed.LostWorker as error:
    distributed.give_up(str(error))
"""


def start(workers, stage, folder, replicas=1, steps=STEPS, pause=0, timeout=150, shared=True):
    fields = {"root": str(ROOT), "tests": str(ROOT / "tests"), "replicas": replicas, "steps": steps, "pause": pause, "timeout": timeout, "shared": shared}
    command = [sys.executable, "-c", CHILD.format(stage=stage, folder=str(folder), **fields)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return distributed.start_workers(workers, command, **options) if workers > 1 else [subprocess.Popen(command, **options)]


def end(processes):
    """What each process said on stdout and stderr; whatever happens, none is left."""
    try:
        return [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()


@functools.cache
def alone(stage, steps=STEPS, factor=1):
    """(history, arrays) of the same training on one device, by the ordinary `fit`; factor: on the learning rates."""
    trainer = make(stage, factor)
    history = training.fit(trainer, PIXELS, steps, **ARGUMENTS)
    return history, [keras.ops.convert_to_numpy(variable) for variable in trainer.state()]


def last(folder):
    """(step, history, arrays) of the newest checkpoint."""
    with np.load(training.checkpoints(folder)[-1]) as file:
        note = json.loads(str(file["note"]))
        return note["step"], note["history"], [file[name] for name in sorted(file.files) if name != "note"]


def distance(ours, theirs):
    """Relative distance of two arrays; that of tiny ones (biases that began at zero) is taken to 0.01."""
    return np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), 0.01)


def assert_close(stage, folder):
    """A checkpoint of several replicas agrees with the training on one device, in losses and in weights."""
    step, history, arrays = last(folder)
    expected, weights = alone(stage)
    assert step == STEPS
    for name in {"pixel", "d_loss", "adversarial", "matching", "lattice", "d_real", "g_update"} & set(expected):
        np.testing.assert_allclose(history[name], expected[name], rtol=TOLERANCE, err_msg=name)
    for ours, theirs in zip(arrays, weights, strict=True):
        assert distance(ours, theirs) < TOLERANCE
    return history, expected


# --- the same result -------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["pixel", "gan"])
def test_two_workers_equal_one_process(stage, tmp_path):
    processes = start(2, stage, tmp_path)
    said = end(processes)
    assert [process.returncode for process in processes] == [0, 0], said
    history, expected = assert_close(stage, tmp_path)
    assert np.mean(history["g_gradient"]) > np.mean(expected["g_gradient"])  # of half batches: documented
    resumed = make(stage)
    assert training.load_checkpoint(training.checkpoints(tmp_path)[-1], resumed)[0] == STEPS  # opens on one device


def test_two_logical_devices_equal_one(tmp_path):
    (process,) = start(1, "gan", tmp_path, replicas=2)
    said = end([process])
    assert process.returncode == 0, said
    assert_close("gan", tmp_path)


def test_on_one_device_nothing_changes(tmp_path):
    trainer = make("gan")
    history = distributed.fit(distributed.tf.distribute.get_strategy(), trainer, PIXELS, 5, **ARGUMENTS)
    expected, weights = alone("gan", 5)
    assert {name: column for name, column in history.items() if name != "seconds"} == {
        name: column for name, column in expected.items() if name != "seconds"
    }
    for ours, theirs in zip(trainer.state(), weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), theirs)


@pytest.mark.parametrize("stage", ["pixel", "gan"])
def test_the_comparison_would_notice_summed_gradients(stage):
    """SGD on the sum of two replicas' gradients is SGD with twice the rate."""
    (right, weights), (wrong, others) = alone(stage), alone(stage, factor=2)
    assert np.abs(np.array(wrong["pixel"]) / right["pixel"] - 1).max() > 10 * TOLERANCE
    assert max(distance(ours, theirs) for ours, theirs in zip(others, weights)) > 10 * TOLERANCE


@pytest.mark.parametrize("policy, scale", [("float32", None), ("mixed_float16", 1024.0)])
def test_gradients_are_averaged_once(policy, scale):
    with runtime.precision(policy):
        trainer = training.PixelTrainer(models.facesr(blocks=1, filters=8, tail=()))
    trainer.compile(keras.optimizers.SGD(0.1))
    for _ in range(2):  # a second `fit` must not divide again
        distributed.average_gradients(trainer.optimizer, 4)
    assert float(trainer.optimizer.scale_loss(1.0)) == (scale or 1.0) / 4


# --- a lost worker ---------------------------------------------------------------------------------


def wait_for_a_checkpoint(processes, folder):
    deadline = time.monotonic() + 200
    while not training.checkpoints(folder) and time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes), end(processes)
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("stage, victim", [("pixel", 1), ("gan", 0)])
def test_a_killed_worker_ends_the_job_and_a_restart_goes_on(stage, victim, tmp_path):
    processes = start(2, stage, tmp_path, pause=0.3)
    wait_for_a_checkpoint(processes, tmp_path)
    processes[victim].kill()
    killed = time.monotonic()
    said = end(processes)
    assert time.monotonic() - killed < 200  # the limit of 150 seconds, and the end
    survivor = processes[1 - victim]
    assert processes[victim].returncode == -9 and survivor.returncode == distributed.LOST, said
    assert "another worker" in said[1 - victim][1] and str(tmp_path) in said[1 - victim][1]
    reached = last(tmp_path)[0]
    assert reached < STEPS
    processes = start(2, stage, tmp_path)
    said = end(processes)
    assert [process.returncode for process in processes] == [0, 0], said
    assert all(f"resumed at step {reached} " in out for out, _ in said)
    assert_close(stage, tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
def test_a_silent_worker_ends_the_job_too(tmp_path):
    """A stopped process keeps its connections open, like a machine that hangs."""
    processes = start(2, "pixel", tmp_path, pause=0.3, timeout=60)
    wait_for_a_checkpoint(processes, tmp_path)
    processes[1].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        _, complaint = processes[0].communicate(timeout=240)
    finally:
        end_of_chief = time.monotonic() - stopped
        processes[1].kill()
        end(processes[1:])
    assert processes[0].returncode == distributed.LOST and "another worker" in complaint, complaint
    assert end_of_chief < 90


def test_a_worker_whose_partner_never_comes_ends(tmp_path):
    code = "from srlib import distributed; distributed.connect(timeout=5)"
    (port, silent) = distributed.free_ports(2)
    environment = {**os.environ, "TF_CONFIG": distributed.tf_config([f"127.0.0.1:{port}", f"127.0.0.1:{silent}"], 0)}
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert child.returncode in (1, distributed.LOST) and f"127.0.0.1:{silent}; if it ends here" in child.stdout
    assert "connect" in child.stderr or "not all workers" in child.stderr


def test_a_folder_that_is_not_shared_is_named(tmp_path):
    training.save_checkpoint(tmp_path / "step-0000004.npz", make("pixel"), 4, {})
    processes = start(2, "pixel", tmp_path, shared=False)
    said = end(processes)
    assert processes[1].returncode and "step 0, the chief of step 4" in said[1][1], said
    assert processes[0].returncode and "another worker" in said[0][1], said


@pytest.mark.skipif(not pathlib.Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_steps_leave_no_threads_behind(tmp_path):
    """TensorFlow's own time limit for collectives would leave about five for every step, for as long as the limit."""
    processes = start(2, "pixel", tmp_path, steps=60, pause=0.05)
    counts = {}
    while all(process.poll() is None for process in processes):
        steps = [int(path.stem[5:]) for path in training.checkpoints(tmp_path)]
        with contextlib.suppress(OSError):  # it ends in this moment
            counts[max(steps, default=0)] = len(list(pathlib.Path(f"/proc/{processes[0].pid}/task").iterdir()))
        time.sleep(0.02)
    said = end(processes)
    assert [process.returncode for process in processes] == [0, 0], said
    assert counts[56] < counts[8] + 48, counts  # one thread a step would fail


def test_ended_supervisor_takes_its_workers_along(tmp_path):
    """`kill` of the process that was started with --workers, while the workers train."""
    command = [sys.executable, "-m", "srlib.distributed", "facesr-light", "--folder", str(tmp_path), "--data", "sample"]
    command += ["--steps", "100000", "--batch", "4", "--every", "2", "--workers", "2"]
    with open(tmp_path / "said", "w") as file:
        supervisor = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    wait_for_a_checkpoint([supervisor], tmp_path)
    supervisor.terminate()
    assert supervisor.wait(60) == (143 if sys.platform != "win32" else 1)
    reached = training.checkpoints(tmp_path)[-1]
    time.sleep(5)
    assert sys.platform == "win32" or training.checkpoints(tmp_path)[-1] == reached


def test_supervise_ends_what_does_not_end():
    sleeper, failing = [subprocess.Popen([sys.executable, "-c", code]) for code in ("import time; time.sleep(600)", "raise SystemExit(7)")]
    assert distributed.supervise([sleeper, failing], patience=0.5) == [-9 if sys.platform != "win32" else 1, 7]


# --- pieces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers, local", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_all_shards_together_are_the_batch(workers, local):
    tf = distributed.tf
    parts = []
    for worker in range(workers):
        context = tf.distribute.InputContext(workers, worker, workers * local)
        dataset = distributed.shards(context, PIXELS, 8, 3, 0, 1, 32)
        parts.append([element for element in dataset.take(2 * local).as_numpy_iterator()])
    for turn, step in enumerate((1, 2)):
        lr, hr = data.batch_at(PIXELS, step, 8, patch=32)
        seen = [part[turn * local + replica] for part in parts for replica in range(local)]
        np.testing.assert_array_equal(np.concatenate([element[0] for element in seen]), lr)
        np.testing.assert_array_equal(np.concatenate([element[1] for element in seen]), hr)


def test_ports_are_free_and_different():
    ports = distributed.free_ports(20)
    assert len(set(ports)) == 20 and all(20_000 <= port < 32_768 for port in ports)
    drawn = []
    for _ in range(2):  # every reader's notebook begins with the same seed, and a class may share one machine
        keras.utils.set_random_seed(1)
        drawn.append(distributed.free_ports(5))
    assert drawn[0] != drawn[1]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[0]))  # it was released
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(distributed.random.SystemRandom, "sample", lambda *_: [ports[1], ports[0]])
            assert distributed.free_ports(1) == [ports[1]]


@pytest.mark.parametrize("words", [["--workers", "-1"], ["--workers", "2", "--hosts", "a:1,b:1"], ["--steps", "0"], ["--batch", "0"]], ids=" ".join)
def test_bad_options_of_the_command_are_named(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        distributed.main(["facesr-light", "--folder", str(tmp_path), *words])
    assert stop.value.code == 2 and words[0] in capsys.readouterr().err


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="index 2"):
        distributed.tf_config(["a:1", "b:1"], 2)
    with pytest.raises(ValueError, match="address:port"):
        distributed.tf_config(["a", "b:1"], 0)
    with pytest.raises(ValueError, match="batch is 5, for 2 replicas"):
        strategy = type("Two", (), {"num_replicas_in_sync": 2})()
        distributed.fit(strategy, make("pixel"), PIXELS, 3, 5)


def test_the_command_starts_two_workers(tmp_path):
    """The chapter's own command, on the real network of a rung."""
    command = [sys.executable, "-m", "srlib.distributed", "facesr-light", "--folder", str(tmp_path), "--data", "sample"]
    command += ["--steps", "2", "--batch", "4", "--workers", "2", "--precision", "float32"]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert child.returncode == 0 and "exit codes of the workers: 0 0" in child.stdout, child.stderr
    assert "on 2 replicas" in child.stdout and last(tmp_path)[0] == 2
