"""`srlib prepare SOURCE FOLDER` writes the faces of photos into a prepared set; `srlib prepare FOLDER` verifies one."""

import argparse

from .. import datasets, runtime


def main(arguments):
    parser = argparse.ArgumentParser(prog="srlib prepare", description=__doc__)
    parser.add_argument("source", help="celeba, or a folder of photos; alone: the prepared set to verify")
    parser.add_argument("folder", nargs="?", help="of the prepared set: a new one")
    parser.add_argument("--train", type=int, help="training images to take (default: all)")
    parser.add_argument("--held-out", type=int, help="validation images, and as many test images (default: all)")
    options = parser.parse_args(arguments)
    limits = (options.train, options.held_out)
    if not options.folder and any(limits):
        parser.error("--train and --held-out choose images of SOURCE; name the FOLDER, too")
    index = (
        datasets.prepare(options.source, options.folder, *limits) if options.folder else datasets.verify(options.source)
    )
    size = sum(entry["bytes"] for entry in index["files"].values()) / 1e6
    runtime.say(f"{size:,.0f} MB verified. Terms of use: {index['terms']}")
