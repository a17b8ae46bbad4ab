"""What a shell calls: `srlib COMMAND ...` or `python -m srlib COMMAND ...`; a module a command, imported on call.

A module has OPTIONS, a dict from the words for one to what `argparse` is to know of it, and a `main` that takes their
values.
"""

import argparse
import importlib
import sys

from .. import __version__, runtime

COMMANDS = {
    "enlarge": "enlarge photos four times",
    "train": "train a network by its recipe, or go on where it was interrupted",
    "evaluate": "measure the shipped networks and write the tables of chapter 05",
    "export": "write a trained network as SavedModel, ONNX or LiteRT",
    "prepare": "turn a folder of photos into one prepared set of faces",
    "handout": "write the chapters without their answers",
    "collect": "list what the checks said in submitted notebooks",
    "distribute": "train a network on several devices, processes or machines",
}


def run(name, words):
    """Call the `main` of a command with the words of a shell. Raises what it raises; `SystemExit` for wrong words."""
    module = importlib.import_module(f".{name}", __package__)
    parser = argparse.ArgumentParser(prog=f"srlib {name}", description=module.__doc__.partition("\n\n")[0])
    for flags, details in module.OPTIONS.items():
        parser.add_argument(*flags.split(), **details)
    return module.main(**vars(parser.parse_args(words)))


def main(arguments=None):
    """Run one command. What a user can mend is said in a sentence, without a traceback; the exit code is 1 then."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] not in COMMANDS:
        runtime.say("usage: srlib COMMAND ..., or srlib COMMAND --help. The commands:")
        for name, purpose in COMMANDS.items():
            runtime.say(f"  {name:10} {purpose}")
        runtime.say(f"srlib {__version__}")
        return 0 if words in ([], ["--help"], ["-h"], ["--version"]) else 2
    try:
        return run(words[0], words[1:])
    except (OSError, ValueError, ImportError, FloatingPointError) as error:
        runtime.say(f"srlib {words[0]}: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
