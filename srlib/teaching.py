"""A teacher's two commands: hand notebooks out without their answers, and read the ones that come back.

    python -m srlib.teaching handout FOLDER [--notebooks notebooks]
    python -m srlib.teaching collect FOLDER

`handout` removes the cells tagged `solution`, the folded answers behind the heading "Exercises", the links to
the full version on Colab and Kaggle, and every stored output; exercises, checks and text stay. `collect` reads
what the checks said from the stored outputs of submitted notebooks. It runs nothing. See notebooks/TEACHING.md.
"""

import argparse
import itertools
import json
import pathlib
import re
import shutil
import sys

from . import checks

FOLDED = re.compile(r"\n*<details>.*?</details>", re.S)
LINKS = re.compile(r"^\[Open in Colab\].*\n+", re.M)


def without_answers(notebook):
    """A chapter (nbformat 4, a dict) without solution cells, folded answers, links to the full version and stored outputs; a new dict.

    Folded text before the heading "## Exercises" belongs to the lesson and stays.
    """
    cells, in_exercises = [], False
    for cell in notebook["cells"]:
        cell = json.loads(json.dumps(cell))
        if "solution" in cell["metadata"].get("tags", []):
            continue
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
        else:
            cell["source"] = LINKS.sub("", "".join(cell["source"]))
            lesson, heading, rest = cell["source"].partition("## Exercises")
            if in_exercises:
                cell["source"] = FOLDED.sub("", lesson)
            elif heading:
                cell["source"], in_exercises = lesson + heading + FOLDED.sub("", rest), True
        cells.append(cell)
    metadata = {key: value for key, value in notebook["metadata"].items() if key != "widgets"}  # stored slider states
    return {**notebook, "metadata": metadata, "cells": cells}


def handout(folder, notebooks="notebooks"):
    """Write every chapter of the folder `notebooks` without its answers into `folder`; returns the new paths.

    The glossary, to which the chapters link, goes with them. Raises `FileNotFoundError` if there are no
    notebooks, and `FileExistsError` instead of overwriting anything.
    """
    folder, notebooks = pathlib.Path(folder), pathlib.Path(notebooks)
    chapters = sorted(notebooks.glob("*.ipynb"))
    if not chapters:
        raise FileNotFoundError(f"no notebooks in {notebooks}: start from the course's folder, or name theirs with --notebooks")
    files = chapters + [path for path in [notebooks / "GLOSSARY.md"] if path.exists()]
    taken = [path.name for path in files if (folder / path.name).exists()]
    if taken:
        raise FileExistsError(f"{folder} already holds {', '.join(taken)}, perhaps somebody's work: name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        if path in chapters:
            chapter = without_answers(json.loads(path.read_text(encoding="utf-8")))
            text = json.dumps(chapter, indent=1, ensure_ascii=False) + "\n"
            (folder / path.name).write_text(text, encoding="utf-8")
        else:
            shutil.copy(path, folder)
    return [folder / path.name for path in files]


def verdicts(notebook):
    """What the checks said in a submitted notebook (a dict): {check: "correct" | "not yet" | "not run"}.

    A check counts by its call, `checks.c01_psnr(...)`, in any cell that is not tagged `solution`; where it
    was called more than once, the best verdict counts. All checks of a chapter of which one is called are listed:
    an exercise that was deleted is "not run", like one whose cell ended before its check.
    """
    found, order = {}, ["not run", "not yet", "correct"]
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code" or "solution" in cell["metadata"].get("tags", []):
            continue
        said = "".join("".join(output.get("text", "")) for output in cell["outputs"])
        lines = [line for line in said.splitlines() if line == "Correct." or line.startswith("Not yet: ")]
        for name, line in itertools.zip_longest(re.findall(r"^checks\.(c\d\d_\w+)\(", "".join(cell["source"]), re.M), lines):
            if name is None:
                break
            verdict = "correct" if line == "Correct." else "not yet" if line else "not run"
            found[name] = max(found.get(name, "not run"), verdict, key=order.index)
    chapters = {name[:3] for name in found}
    return found | {name: "not run" for name in dir(checks) if name[:3] in chapters and name not in found}


def collect(folder):
    """`verdicts` of every notebook in `folder` and below: {path: verdicts}. Raises `FileNotFoundError` if there is none.

    A file that is no notebook is listed with the reason. Copies that JupyterLab and macOS make are left out.
    """
    copies = {".ipynb_checkpoints", "__MACOSX"}
    paths = [path for path in sorted(pathlib.Path(folder).rglob("*.ipynb")) if path.is_file() and not copies & set(path.parts)]
    if not paths:
        raise FileNotFoundError(f"no notebooks in {folder} or below")
    found = {}
    for path in paths:
        try:
            found[path] = verdicts(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            found[path] = {"the notebook": f"cannot be read ({type(error).__name__}: {error})"}
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m srlib.teaching", description="Hand notebooks out, and read the ones that come back.")
    commands = parser.add_subparsers(dest="command", required=True)
    out = commands.add_parser("handout", help="write the chapters without answers and outputs into a new folder")
    out.add_argument("folder")
    out.add_argument("--notebooks", default="notebooks", help="where the chapters are (default: notebooks)")
    back = commands.add_parser("collect", help="list what the checks said in submitted notebooks")
    back.add_argument("folder")
    options = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a student's name that the terminal's alphabet lacks
    try:
        if options.command == "handout":
            for path in handout(options.folder, options.notebooks):
                print(path)
        else:
            for path, said in collect(options.folder).items():
                open_ones = [f"{name} {verdict}" for name, verdict in said.items() if verdict != "correct"]
                print(f"{path.relative_to(options.folder)}: {len(said) - len(open_ones)} of {len(said)} correct", *open_ones, sep="; ")
    except (FileNotFoundError, FileExistsError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
