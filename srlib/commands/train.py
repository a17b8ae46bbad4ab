"""`srlib train NAME`: train a network by its recipe, or go on where an earlier call was interrupted."""

import argparse
import dataclasses
import json

from .. import datasets, pretrained, recipes, runtime


def main(arguments):
    parser = argparse.ArgumentParser(prog="srlib train", description=__doc__)
    parser.add_argument("name", choices=recipes.RECIPES, help="which network")
    parser.add_argument("--folder", help="for checkpoints, history and ema.keras (default: SRLIB_HOME/runs/NAME)")
    parser.add_argument("--data", help="sample, celeba or a folder (default: SRLIB_DATA)")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="of the recipe, for example steps=2000 adversarial=0.05",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="another one repeats a training, to see how far its result varies"
    )
    parser.add_argument(
        "--ship", action="store_true", help="also write into the package: the weights, or a repeat's validation PSNR"
    )
    options = parser.parse_args(arguments)
    recipe = recipes.changed(recipes.RECIPES[options.name], options.set)
    run = f"{options.name}-seed{options.seed}" if options.seed else options.name
    folder = options.folder or runtime.home() / "runs" / run
    photos = datasets.load(options.data, dataclasses.replace(runtime.PROFILES["full"], train_images=None))
    runtime.say(f"{options.name}: {recipe}\n{photos.description}; {runtime.best_precision()}; in {folder}")
    trainer, history, entry, snapshots = recipes.train(options.name, folder, recipe, photos, options.seed)
    if options.ship and options.seed:
        pretrained.save_repeat(options.name, entry["val_psnr"])
    elif options.ship:
        pretrained.save(options.name, trainer.ema.get_weights(), entry, history, pretrained.FOLDER, snapshots)
    runtime.say(json.dumps(entry, indent=1))
