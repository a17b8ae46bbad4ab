"""`srlib prepare SOURCE FOLDER`: write the faces of photos into a prepared set, which loads at once everywhere."""

from .. import datasets, runtime

OPTIONS = {
    "source": {"help": "celeba, or a folder of photos"},
    "folder": {"help": "of the prepared set: a new one"},
    "--train": {"type": int, "help": "training images to take (default: all)"},
    "--held-out": {"type": int, "help": "validation images, and as many test images (default: all)"},
}


def main(source, folder, train, held_out):
    index = datasets.prepare(source, folder, train, held_out)
    size = sum(entry["bytes"] for entry in index["files"].values()) / 1e6
    runtime.say(f"{size:,.0f} MB written. Terms of use: {index['terms']}")
