"""`srlib prepare SOURCE FOLDER`: write the faces of photos into a prepared set, which loads at once everywhere."""

from .. import datasets, runtime

OPTIONS = {
    "source": {"help": "celeba, or a folder of photos"},
    "folder": {"help": "of the prepared set: a new one"},
    "--train": {"type": int, "help": "training images to take (default: all)"},
    "--held-out": {"type": int, "help": "validation images, and as many test images (default: all)"},
}


def main(source, folder, train, held_out):
    terms = datasets.prepare(source, folder, train, held_out)["terms"]
    runtime.say(f"written and verified: {folder}. Terms of use: {terms}")
