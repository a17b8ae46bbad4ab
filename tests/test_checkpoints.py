"""Training that survives kills, full disks, damaged files and other people's files in its folder."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import filelock
import keras
import numpy as np
import pytest
from small import ARGUMENTS, PIXELS, assert_same, make, values, without_time

from srlib import callbacks, checkpoints, models, runtime, training

tf = runtime.load_tensorflow()
TESTS = pathlib.Path(__file__).parent

# Real architectures in miniature, where three and more gradients meet in a tensor: residual blocks and a long
# skip, BatchNorm, spectral norm. Threads as they come.
CASES = {
    "pixel": {"network": lambda: models.srresnet(blocks=1, filters=8)},
    "gan": {"policy": "mixed_bfloat16", "network": lambda: models.facesr(blocks=2, filters=8, tail=(8, 8))},
}
TRAIN = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from srlib import checkpoints, runtime, training
runtime.deterministic()
import test_checkpoints as t

def die_halfway(self, path):
    open({folder!r} + "/step-9.data-00000-of-00001", "wb").write(b"half of a checkpoint")
    os.kill(os.getpid(), signal.SIGKILL)

class Kill(t.keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if start + batch + 1 == {at}:
            os.kill(os.getpid(), signal.SIGKILL)

trainer = t.make({stage!r}, **t.CASES[{stage!r}])
start = int(([0] + [path.name[5:] for path in checkpoints.saved({folder!r})])[-1])
if {while_saving}:
    t.tf.train.Checkpoint.write = die_halfway
training.fit(trainer, t.PIXELS, {steps}, folder={folder!r}, callbacks=[Kill()], **t.ARGUMENTS)
t.np.savez({folder!r} + "/final.npz", *t.values(trainer.state()))
"""
STEPS = 14


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("stage", CASES)
def test_a_killed_training_ends_with_the_same_bits(stage, tmp_path):
    """A kill after a step and one in the middle of a write; then the rest; against one straight run."""

    def run(folder, at=0, while_saving=False):
        folder.mkdir(exist_ok=True)
        fields = {"tests": str(TESTS), "stage": stage, "folder": str(folder), "steps": STEPS}
        script = TRAIN.format(at=at, while_saving=while_saving, **fields)
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)

    assert run(tmp_path / "killed", at=7).returncode == -signal.SIGKILL
    assert run(tmp_path / "killed", while_saving=True).returncode == -signal.SIGKILL
    for name in ("killed", "straight"):
        finished = run(tmp_path / name)
        assert finished.returncode == 0, finished.stderr[-2000:]
    with np.load(tmp_path / "killed" / "final.npz") as one, np.load(tmp_path / "straight" / "final.npz") as other:
        assert_same([one[name] for name in one.files], [other[name] for name in other.files])
    tables = [(tmp_path / name / "history.csv").read_text().splitlines() for name in ("killed", "straight")]
    place = tables[0][0].split(",").index("seconds")
    rows = [[[field for i, field in enumerate(row.split(",")) if i != place] for row in table] for table in tables]
    assert rows[0] == rows[1] and len(rows[0]) == STEPS + 1


@pytest.mark.slow
def test_a_state_holds_every_variable_that_a_step_changes():
    """Of random layers, too: a checkpoint holds the state, and nothing else."""

    def network():
        inputs = keras.Input((None, None, 3))
        x = keras.layers.Dropout(0.5)(keras.layers.Conv2D(48, 3, padding="same")(inputs))
        return keras.Model(inputs, models.PixelShuffle(4)(x), name="noisy")

    for judge in (None, lambda: models.srgan_discriminator(4)):
        trainer = make("gan", discriminator=judge, network=network)
        before = values(trainer.variables)
        training.fit(trainer, PIXELS, 1, **ARGUMENTS)
        in_state = {id(variable) for variable in trainer.state()}
        for variable, old in zip(trainer.variables, before):
            if not np.array_equal(old, values([variable])[0]):
                assert id(variable) in in_state, variable.path


@pytest.fixture
def trained(tmp_path):
    """A folder with the checkpoints step-4 and step-8."""
    training.fit(make("pixel"), PIXELS, 8, folder=tmp_path, **ARGUMENTS)
    return tmp_path


def test_a_finished_training_is_not_trained_further(trained):
    before = (trained / "step-8.index").read_bytes()
    assert len(training.fit(make("pixel"), PIXELS, 8, folder=trained, **ARGUMENTS)["step"]) == 8
    assert (trained / "step-8.index").read_bytes() == before


def test_files_of_yours_are_no_checkpoints_and_stay(trained):
    """Copies, sync conflicts, other numbers of digits: only what `save` named counts, by its number."""
    mine = ["step-best.index", "step-8 (1).index", "step-8-LAPTOP.index", "copy of step-8.index", "step-.index"]
    mine += ["step-99999.data-00000-of-00001", "checkpoint.bak", "step-8.npz", "step-0099.index", "step-９.index"]
    for name in mine:
        shutil.copy(trained / "step-8.index", trained / name)
    training.fit(make("pixel"), PIXELS, 16, folder=trained, **ARGUMENTS)
    assert [path.name for path in checkpoints.saved(trained)] == ["step-12", "step-16"]
    assert all((trained / name).exists() for name in mine)


def test_what_a_kill_leaves_half_written_goes_and_nothing_of_yours(trained):
    """Each would be as large as a checkpoint, and a laptop sleeps often."""
    before = sorted(trained.iterdir())
    part = "part-00000-of-00001.data-00000-of-00001.tempstate1429434900"  # TensorFlow 2.21, killed in `write`
    half = [f"step-12_temp/{part}", "ema.4711-a1b2c3.partial.keras", "history.4711-a1b2c3.partial.csv"]
    mine = ["mine.partial.pdf", "step-best_temp/" + part, "step-4_temp.zip"]
    for name in half + mine:
        (trained / name).parent.mkdir(exist_ok=True)
        (trained / name).write_bytes(b"half")
    training.fit(make("pixel"), PIXELS, 12, folder=trained, keep=3, **ARGUMENTS)
    new = [trained / name for name in ("step-12.index", "step-12.data-00000-of-00001", "step-best_temp", *mine[::2])]
    assert sorted(trained.iterdir()) == sorted(before + new) and (trained / mine[1]).exists()


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"\0" * len(c)])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(part, damage, trained, capsys):
    path = trained / f"step-8.{part}"
    path.write_bytes(damage(path.read_bytes()))
    training.fit(make("pixel"), PIXELS, 12, folder=trained, **ARGUMENTS)
    said = capsys.readouterr().out
    assert "step-8 is damaged" in said and "resumed at step 4 from step-4" in said
    assert [path.name for path in checkpoints.saved(trained)] == ["step-8", "step-12"]
    for path in checkpoints.saved(trained):
        checkpoints.restore(path, make("pixel"))


def test_a_newer_damaged_checkpoint_does_not_push_out_a_good_one(trained):
    """Training goes on from step 4, with other laps."""
    (trained / "step-8.index").write_bytes(b"")
    training.fit(make("pixel"), PIXELS, 6, folder=trained, keep=1, **ARGUMENTS)
    assert checkpoints.resume(trained, make("pixel")) == 6


def test_where_all_are_damaged_nothing_begins_anew(trained):
    fresh = make("pixel", rate=0)
    before = values(fresh.state())
    for path in trained.glob("step-*.data*"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"every checkpoint .* is damaged \(step-8, step-4\); delete them"):
        training.fit(fresh, PIXELS, 12, folder=trained, **ARGUMENTS)
    assert_same(before, values(fresh.state()))
    with pytest.raises(checkpoints.DamagedCheckpoint, match="step-8 is damaged"):
        checkpoints.restore(trained / "step-8", fresh)


@pytest.mark.parametrize("error", [tf.errors.PermissionDeniedError(None, None, "no"), OSError(5, "I/O error")])
def test_a_checkpoint_that_cannot_be_read_now_is_not_called_damaged(error, trained, monkeypatch):
    """A drive that has gone: the file may be whole, and stays where it is."""

    def fail(path):
        raise error

    names = sorted(path.name for path in trained.iterdir())
    monkeypatch.setattr(tf.train, "load_checkpoint", fail)
    with pytest.raises(OSError):
        training.fit(make("pixel"), PIXELS, 12, folder=trained, **ARGUMENTS)
    assert sorted(path.name for path in trained.iterdir()) == names


def test_a_foreign_checkpoint_is_refused_by_name(trained):
    wider = training.PixelTrainer(models.facesr(blocks=1, filters=12, tail=(8, 8)))
    wider.compile(keras.optimizers.Adam(1e-3))
    for other in (make("gan"), make("pixel", network=lambda: models.edsr(1, 4)), wider):
        with pytest.raises(ValueError, match=r"step-8 was written by 'facesr_pixel' with \d+ variables, not by this"):
            training.fit(other, PIXELS, 12, folder=trained, **ARGUMENTS)


@pytest.mark.parametrize("name", ["step-0000004.npz", "step-0012000.npz"])
def test_a_folder_of_the_former_format_is_refused_and_left_alone(name, tmp_path):
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(ValueError, match=rf"former format \({name}\)"):
        training.fit(make("pixel"), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    assert (tmp_path / name).read_bytes() == b"PK" and not list(tmp_path.glob("*.index"))


@pytest.mark.slow
def test_what_differs_from_before_is_said(trained, capsys):
    """Another order of the batches, a lowered learning rate: what the health panel asks for."""
    training.fit(make("gan"), PIXELS, 4, folder=trained / "gan", **ARGUMENTS)
    lower = make("gan", rate=1e-4, d_rate=5e-4)
    training.fit(lower, PIXELS, 6, folder=trained / "gan", seed=3, **ARGUMENTS)
    assert float(lower.optimizer.learning_rate) == np.float32(1e-4)
    said = capsys.readouterr().out
    assert "is 0.0005, but was 0.001 when step-4 was written" in said
    assert "seed is 3, but was 0 when step-4 was written" in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_full_disk_keeps_the_earlier_checkpoints(trained):
    """The limit on a file's size fails in the middle of a write, as a full disk does."""
    import resource

    kept = {path: path.read_bytes() for path in trained.glob("step-*")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write the checkpoint .*step-12 .*earlier ones are intact"):
            training.fit(make("pixel"), PIXELS, 12, folder=trained, **ARGUMENTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in checkpoints.saved(trained)] == ["step-4", "step-8"]
    assert all(path.read_bytes() == content for path, content in kept.items())
    training.fit(make("pixel"), PIXELS, 12, folder=trained, **ARGUMENTS)


def test_one_process_a_folder(trained):
    held = filelock.FileLock(trained / "training.lock")
    with held, pytest.raises(OSError, match="another process is training in"):
        training.fit(make("pixel"), PIXELS, 12, folder=trained, **ARGUMENTS)
    assert [path.name for path in checkpoints.saved(trained)] == ["step-4", "step-8"]


@pytest.mark.parametrize("error", [NotImplementedError(), OSError(37, "No locks available")])
def test_a_drive_without_locks_trains_without(error, tmp_path, monkeypatch):
    def fail(self, **options):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)
    assert len(training.fit(make("pixel"), PIXELS, 4, folder=tmp_path, **ARGUMENTS)["step"]) == 4


def test_a_rename_that_is_denied_for_a_moment_is_tried_again(tmp_path, monkeypatch):
    """A virus scanner holds a new file: TensorFlow's own renames, and ours; or an old one that is to be deleted."""
    denied, write, replace, unlink = [], tf.train.Checkpoint.write, pathlib.Path.replace, pathlib.Path.unlink
    (tmp_path / "ema.4711-a1b2c3.partial.keras").touch()

    def once(name, action):
        def call(*args, **options):
            if name not in denied:
                denied.append(name)
                denial = PermissionError(13, name)
                raise tf.errors.PermissionDeniedError(None, None, name) if name == "write" else denial
            return action(*args, **options)

        return call

    monkeypatch.setattr(tf.train.Checkpoint, "write", once("write", write))
    monkeypatch.setattr(pathlib.Path, "replace", once("replace", replace))
    monkeypatch.setattr(pathlib.Path, "unlink", once("unlink", unlink))
    training.fit(make("pixel"), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    assert sorted(denied) == ["replace", "unlink", "write"] and len(checkpoints.saved(tmp_path)) == 1
    assert os.listdir(tmp_path).count("history.csv") == 1 and not list(tmp_path.glob("*partial*"))


@pytest.mark.parametrize("name", ["history.csv", "ema.keras", "0000004.npy"])
def test_a_file_that_is_open_elsewhere_costs_no_training(name, tmp_path, monkeypatch, capsys):
    replace, snapshots = pathlib.Path.replace, callbacks.Snapshots(tmp_path / "snapshots", [4])

    def locked(self, target):
        if target.name == name:
            raise PermissionError(13, "open in a spreadsheet")
        return replace(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", locked)
    monkeypatch.setattr(runtime.patiently, "__defaults__", (0.3,))
    history = training.fit(make("pixel"), PIXELS, 4, folder=tmp_path, callbacks=[snapshots], **ARGUMENTS)
    said = capsys.readouterr().out
    assert f"{name} now" in said and "is it open in another program?" in said and len(checkpoints.saved(tmp_path)) == 1
    monkeypatch.undo()
    again = training.fit(make("pixel"), PIXELS, 8, folder=tmp_path, **ARGUMENTS)
    assert history["step"] == [1, 2, 3, 4] and again["step"][-4:] == [5, 6, 7, 8] and (tmp_path / "ema.keras").exists()
    assert len(again["step"]) == (4 if name == "history.csv" else 8)


def test_the_columns_of_a_resumed_history_stay_aligned(trained):
    history = training.fit(make("pixel"), PIXELS, 12, folder=trained, val=PIXELS[:2], **ARGUMENTS)
    assert {len(column) for column in history.values()} == {12}
    assert history["val_psnr"][:11] == [None] * 11 and history["val_psnr"][11] > 10
    assert without_time(history)["step"] == list(range(1, 13))
