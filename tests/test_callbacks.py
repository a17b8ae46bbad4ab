"""Each callback does its one job."""

import re

import keras
import numpy as np
import pytest
from small import ARGUMENTS, PIXELS, make

from srlib import callbacks, checkpoints, losses, training


@pytest.mark.slow
@pytest.mark.parametrize("stage, term", [("pixel", "pixel"), ("gan", "adversarial")])
def test_the_guard_names_the_term_and_keeps_the_last_good_checkpoint(stage, term, tmp_path, monkeypatch):
    training.fit(make(stage), PIXELS, 4, folder=tmp_path, **ARGUMENTS)
    monkeypatch.setattr(losses, "generator_loss", lambda logits, labels: keras.ops.mean(logits) * np.inf)
    broken = make(stage, **({"loss": lambda hr, sr: losses.mse_loss(hr, sr) * np.inf} if stage == "pixel" else {}))
    with pytest.raises(FloatingPointError) as caught:
        training.fit(broken, PIXELS, 12, folder=tmp_path, **ARGUMENTS)
    said = str(caught.value)
    assert f"step 5: the term {term!r} became" in said and "in no layer, but a loss or the way back" in said
    assert "step-4; remove the cause and call fit again" in said
    assert [path.name for path in checkpoints.saved(tmp_path)] == ["step-4"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pixel", "gan"])
def test_the_guard_names_the_layer(stage, monkeypatch):
    broken = make(stage)
    layer = [layer for layer in broken.generator.layers if isinstance(layer, keras.layers.Conv2D)][1]
    kernel = layer.kernel.numpy()
    kernel[0, 0, 0, 0] = np.nan
    layer.kernel.assign(kernel)
    with pytest.raises(
        FloatingPointError,
        match=f"begins in the operation \\w+, in the layer '{layer.name}' of '{broken.generator.name}'",
    ):
        training.fit(broken, PIXELS, 4, **ARGUMENTS)
    if stage == "gan":
        broken = make(stage)
        layer = [layer for layer in broken.discriminator.layers if isinstance(layer, keras.layers.LeakyReLU)][0]
        monkeypatch.setattr(layer, "call", lambda x: x * np.float32(np.inf))
        with pytest.raises(FloatingPointError, match=f"in the layer '{layer.name}' of 'patch_discriminator'"):
            training.fit(broken, PIXELS, 4, **ARGUMENTS)


def test_a_kill_between_a_checkpoint_and_its_snapshot_costs_no_snapshot(tmp_path):
    trainer, snapshots = make("pixel"), callbacks.Snapshots(tmp_path, [1, 4, 20, 60, 200])
    snapshots.set_model(trainer)
    snapshots.on_train_begin()
    assert not list(tmp_path.iterdir())
    trainer.optimizer.iterations.assign(4)  # as after a resume
    snapshots.on_train_begin()
    assert [path.name for path in tmp_path.iterdir()] == ["0000004.npy"]
    assert np.load(tmp_path / "0000004.npy").shape == (2, 128, 128, 3)


def test_progress_is_a_line_a_lap_or_nothing(capsys):
    for verbose in (False, True):
        training.fit(make("pixel"), PIXELS, 4, val=PIXELS[:2], **{**ARGUMENTS, "verbose": verbose})
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == verbose
    assert re.fullmatch(r"step +4/4  pixel [\d.]+  val [\d.]+ dB  \d+ images/s  0.0 min left", lines[0])
