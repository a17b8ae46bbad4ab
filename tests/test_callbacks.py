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
    assert f"step 5: the term {term!r} became" in said
    assert "step-4; remove the cause and call fit again" in said
    assert [path.name for path in checkpoints.saved(tmp_path)] == ["step-4"]


def test_snapshots_are_kept_at_their_steps_by_a_resumed_training_too(tmp_path):
    (tmp_path / "snapshots").mkdir()
    for name in ("0000001 copy.npy", "._0000004.npy", "0000004.4711-a1b2c3.partial.npy", "mine.npy"):  # not ours
        (tmp_path / "snapshots" / name).touch()
    for steps in (2, 5):
        snapshots = callbacks.Snapshots(tmp_path / "snapshots", [1, 4, 20])
        training.fit(make("pixel"), PIXELS, steps, folder=tmp_path, callbacks=[snapshots], **ARGUMENTS)
    assert {step: faces.shape for step, faces in snapshots.pictures().items()} == dict.fromkeys(
        [1, 4], (2, 128, 128, 3)
    )


def test_progress_is_a_line_a_lap_or_nothing(capsys):
    for verbose in (False, True):
        training.fit(make("pixel"), PIXELS, 4, val=PIXELS[:2], **{**ARGUMENTS, "verbose": verbose})
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == verbose
    assert re.fullmatch(r"step +4/4  pixel [\d.]+  val_psnr [\d.]+  \d+ images/s  0.0 min left", lines[0])
