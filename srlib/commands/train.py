"""`srlib train NAME`: train a network by its recipe, or go on where an earlier call was interrupted."""

import dataclasses
import json

from .. import datasets, pretrained, recipes, runtime

OPTIONS = {
    "name": {"choices": recipes.RECIPES, "help": "which network"},
    "--folder": {"help": "for checkpoints, history and ema.keras (default: SRLIB_HOME/runs/NAME)"},
    "--data": {"help": "sample, celeba or a folder (default: SRLIB_DATA)"},
    "--set": {
        "dest": "changes", "nargs": "+", "default": [], "metavar": "KEY=VALUE",
        "help": "of the recipe, for example steps=2000 adversarial=0.05",
    },
    "--seed": {"type": int, "default": 0, "help": "another one repeats a training, to see how far its result varies"},
    "--ship": {"action": "store_true", "help": "also write the weights into the package"},
}  # fmt: skip


def main(name, folder, data, changes, seed, ship):
    recipe = recipes.changed(recipes.RECIPES[name], changes)
    folder = folder or runtime.home() / "runs" / (f"{name}-seed{seed}" if seed else name)
    photos = datasets.load(data, dataclasses.replace(runtime.PROFILES["full"], train_images=None))
    runtime.say(f"{name}: {recipe}\n{photos.description}; {runtime.best_precision()}; in {folder}")
    trainer, history, entry, snapshots = recipes.train(name, folder, recipe, photos, seed)
    if ship:
        pretrained.save(name, trainer.ema.get_weights(), entry, history, pretrained.FOLDER, snapshots)
    runtime.say(json.dumps(entry, indent=1))
