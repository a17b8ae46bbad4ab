"""Write chapters without their answers, to hand out to a class."""

import json
import pathlib
import re
import urllib.parse

from .. import runtime

HEADING = re.compile(r"^(?=#{1,6}[^A-Za-z\n]*Exercises\b)", re.I | re.M)
FOLDED = re.compile(  # code, where tags are text; a comment; or a <details> without another in it
    r"(CODE)|\n*(?:<!--.*?-->|<details\b[^>]*>(?:CODE|(?!</?details\b).)*+</details\s*>)".replace(
        "CODE", r"^[ \t>]*(?:`{3}.*?^[ \t>]*`{3}|~{3}.*?^[ \t>]*~{3})|`[^`\n]*`"
    ),
    re.I | re.M | re.S,
)
URL = (  # of a notebook, of a folder of them, or of what a service is asked to open
    r"""(?:(?:https?://|github\.com/)[^\s<>()"'`]*(?:\.ipynb|/notebooks\b)|(?:https?://)?(?:www\.)?"""
    r"""(?:colab\.research\.google\.com/|kaggle\.com/(?:code|kernels)/|mybinder\.org/|nbviewer\.))[^\s<>()"'`]*"""
)
LINK = re.compile(  # in HTML, in Markdown, perhaps around a badge, or bare; and the dot between two of them
    rf"(?:<a\b[^<>]*{URL}[^<>]*>.*?</a\s*>|\[(?:!\[[^]]*\]\([^)]*\)|[^][])*\]\(\s*<?{URL}[^)]*\)|<?{URL}>?)"
    r"(?: *[·|] *)?",
    re.I | re.S,
)


def without_answers(notebook):
    """A chapter (a dict, nbformat 4) without its answers: a new dict.

    Left out are, from the heading "Exercises" on (without such a heading: everywhere), what is folded in `<details>`,
    and comments; what was written into cells tagged `answer`; links that open a full version; outputs; attachments that
    no text shows; and all metadata but a cell's `tags` and `srlib`. What is folded before the heading belongs to the
    lesson. Raises `ValueError` where a `<details>` is not closed: nobody knows where that answer ends.
    """
    cells = []
    first = next(
        (
            index
            for index, cell in enumerate(notebook["cells"])
            if cell["cell_type"] == "markdown" and HEADING.search("".join(cell["source"]))
        ),
        -1,
    )
    for index, cell in enumerate(notebook["cells"]):
        text = "" if "answer" in cell["metadata"].get("tags", []) else "".join(cell["source"])
        lesson, exercises = [*HEADING.split(text, 1), ""][:2] if index <= first else ["", text]
        while (shorter := FOLDED.sub(r"\1", exercises)) != exercises:
            exercises = shorter
        if re.search(r"</?details\b", exercises, re.I):
            raise ValueError(f"a <details> is not closed, or was never opened, in {exercises.strip()[:60]!r}")
        source = LINK.sub("", lesson + exercises)
        if source.strip() or not text.strip():
            cells.append(
                {key: cell[key] for key in ("cell_type", "id") if key in cell}
                | {"metadata": {key: cell["metadata"][key] for key in ("tags", "srlib") if key in cell["metadata"]}}
                | (
                    {"outputs": [], "execution_count": None}
                    if cell["cell_type"] == "code"
                    else {
                        "attachments": {
                            name: data
                            for name, data in cell.get("attachments", {}).items()
                            if f"attachment:{name}" in urllib.parse.unquote(source)
                        }
                    }
                )
                | {"source": source}
            )
    return {
        "nbformat": 4,
        "nbformat_minor": notebook.get("nbformat_minor", 5),
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": cells,
    }


def handout(folder, notebooks, chapters=None):
    """Write chapters of the folder `notebooks` without their answers into `folder`; returns the new paths.

    chapters: how their files' names begin, such as `["01", "04"]`; default: all. The glossary, to which they link,
    goes with them. Raises `FileNotFoundError` for a chapter that is not there, `FileExistsError` instead of
    overwriting anything, and `ValueError` for a chapter of which answers might remain; nothing is written then.
    """
    if not all(found := [sorted(notebooks.glob(f"{chapter}*.ipynb")) for chapter in chapters or ["[!.]"]]):
        raise FileNotFoundError(f"no notebook {chapters or ''} in {notebooks}: name the folder with --notebooks")
    texts = {
        path.name: LINK.sub("", path.read_text(json.detect_encoding(path.read_bytes())))
        for path in notebooks.glob("GLOSSARY.md")
        if not (folder / path.name).exists()  # it came with another chapter
    }
    for path in sum(found, []):
        try:
            texts[path.name] = (
                json.dumps(without_answers(json.loads(path.read_bytes())), indent=1, ensure_ascii=False) + "\n"
            )
        except Exception as error:
            raise ValueError(f"{path} cannot be handed out ({type(error).__name__}: {error})") from error
    if taken := [name for name in texts if (folder / name).exists()]:
        raise FileExistsError(f"{folder} already holds {', '.join(taken)}, perhaps somebody's work: name a new folder")
    for name, text in texts.items():
        with runtime.replacing(runtime.make_folder(folder) / name) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in texts]


OPTIONS = {
    "folder": {"type": pathlib.Path, "help": "a new folder, for the students"},
    "--notebooks": {
        "type": pathlib.Path, "default": "notebooks", "help": "where the full chapters are (default: notebooks)",
    },
    "--chapters": {"nargs": "+", "metavar": "NN", "help": "such as 01 04 (default: all)"},
}  # fmt: skip


def main(folder, notebooks, chapters):
    runtime.say("\n".join(map(str, handout(folder, notebooks, chapters))))
