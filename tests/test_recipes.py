"""A recipe reaches its trainer; a folder belongs to one training; the command."""

import dataclasses
import json

import numpy as np
import pytest

from srlib import datasets, inference, losses, models, pretrained, recipes, runtime
from srlib.commands import main


def test_every_recipe_builds():
    assert set(recipes.RECIPES) <= set(models.GENERATORS)
    for name, recipe in recipes.RECIPES.items():
        assert recipe.start is None or recipe.start in recipes.RECIPES
        assert recipe.discriminator is None or recipe.discriminator in recipes.DISCRIMINATORS
        assert recipe.schedule in recipes.SCHEDULES and recipe.d_optimizer in recipes.D_OPTIMIZERS
        assert recipe.discriminator or recipe.perceptual == recipe.adversarial == 0, name


def test_a_recipe_reaches_its_trainer():
    """Five different weights: none may end up in another's place."""
    recipe = recipes.Recipe(
        steps=10, learning_rate=3e-4, loss="mse", discriminator="patch", pixel=0.1, perceptual=0.2, adversarial=0.3,
        spectral=0.4, lattice=0.5, relativistic=True, label_smoothing=0.6, window=48, beta_1=0.7, schedule="constant",
        d_optimizer="rmsprop", d_learning_rate=2e-4,
    )  # fmt: skip
    trainer = recipes.build_trainer("facesr-light", recipe, seed=5)
    weights = {"pixel": 0.1, "perceptual": 0.2, "adversarial": 0.3, "spectral": 0.4, "lattice": 0.5}
    assert trainer.loss_weights == weights and trainer.relativistic and trainer.pixel_loss is losses.mse_loss
    assert (trainer.label_smoothing, trainer.window, trainer.seed) == (0.6, 48, 5)
    assert float(trainer.optimizer.learning_rate) == pytest.approx(3e-4) and trainer.optimizer.beta_1 == 0.7
    assert float(trainer.d_optimizer.learning_rate) == pytest.approx(2e-4) and trainer.d_optimizer.clipvalue == 1.0


@pytest.mark.parametrize(
    "word, said",
    [
        ("stops=4", "changes nothing in a recipe.*steps, batch"),
        ("steps", "changes nothing"),
        ("steps=many", "'steps=many': expected a number"),
        ("relativistic=true", "'relativistic=true': expected .* True or False"),
        ("loss=huber", "'loss=huber': expected one of l1, mse"),
        ("batch=0", "batch 0"),
        ("steps=-1", "steps is -1"),
    ],
)
def test_a_change_of_a_recipe_that_is_none(word, said):
    with pytest.raises(ValueError, match=said):
        recipes.changed(recipes.RECIPES["dcgan"], [word])


def test_the_shipped_networks_were_trained_by_their_recipes():
    for name in pretrained.names():
        assert recipes.Recipe(**pretrained.info(name)["recipe"]) == recipes.RECIPES[name], name


def test_a_changed_recipe():
    changed = recipes.changed(
        recipes.RECIPES["dcgan"], ["steps=2000", "adversarial=0.05", "relativistic=True", "loss=l1"]
    )
    assert (changed.steps, changed.adversarial, changed.relativistic, changed.loss) == (2000, 0.05, True, "l1")
    assert changed.pixel == 3.2


def test_a_folder_belongs_to_one_training(tmp_path):
    """Otherwise a resume would train on under another recipe's name, another seed's, or on other faces."""
    faces = datasets.sample(runtime.PROFILES["smoke"])
    recipe = recipes.Recipe(steps=2, batch=2, patch=32)
    recipes.train("srcnn", tmp_path, recipe, faces)
    assert recipes.train("srcnn", tmp_path, recipe, faces)[2]["images_seen"] == 4  # the same: goes on
    others = {
        "steps was 2, now 4": {"recipe": dataclasses.replace(recipe, steps=4)},
        "seed was 0, now 1": {"seed": 1},
        "name was srcnn, now facesr-light": {"name": "facesr-light"},
        "data was sample, 24 images, now mine": {"photos": dataclasses.replace(faces, name="mine")},
        "faces_sha256 was": {"photos": dataclasses.replace(faces, train=faces.train[::-1])},
        "start_sha256 was None": {"recipe": dataclasses.replace(recipe, start="facesr-light")},
    }
    for words, change in others.items():
        with pytest.raises(ValueError, match=words):
            recipes.train(**{"name": "srcnn", "folder": tmp_path, "recipe": recipe, "photos": faces, **change})
    note = json.loads((tmp_path / "run.json").read_text())
    del note["label_smoothing"]  # a field that a version before did not have
    (tmp_path / "run.json").write_text(json.dumps(note))
    recipes.train("srcnn", tmp_path, recipe, faces)


@pytest.mark.slow
def test_the_command_trains_and_what_it_leaves_can_be_used(tmp_path, capsys, monkeypatch):
    """It counts the images, finds the work done when called again, starts another training, loads, enlarges, ships."""
    words = [
        "train",
        "facesr-light",
        "--data",
        "sample",
        "--folder",
        str(tmp_path / "mine"),
        "--set",
        "steps=4",
        "batch=2",
    ]
    assert not main(words)
    assert '"images_seen": 8' in capsys.readouterr().out
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "weights")
    assert not main([*words, "--ship"]) and "resumed at step 4 " in capsys.readouterr().out
    mine, shipped = pretrained.load(tmp_path / "mine"), pretrained.load("facesr-light")
    for one, other in zip(mine.get_weights(), shipped.get_weights()):
        np.testing.assert_allclose(one, other, atol=1e-3)  # float16
    assert list(pretrained.snapshots("facesr-light")) == [1, 4]
    assert inference.enlarge(np.zeros((9, 8, 3), "uint8"), tmp_path / "mine").shape == (36, 32, 3)
    start = [*words[:5], str(tmp_path / "more"), "--set", "steps=1", "batch=2", f"start={tmp_path / 'mine'}"]
    assert not main(start)
    for bad in (["--set", "steps=0"], ["--data", "nowhere"], ["--set", "start=nobody"]):
        assert main([*words[:4], *words[4:6], *bad]) == 1
    said = capsys.readouterr().out
    assert "both must be at least 1" in said and "not a folder" in said and "unknown network 'nobody'" in said
