"""List what the checks said in submitted notebooks, and what was answered to open questions. Nothing is run."""

import argparse
import csv
import json
import pathlib
import pkgutil
import re
import zipfile

import nbformat

from .. import exercises, runtime

LIMIT = 250_000_000  # bytes of a notebook, or of all that an archive unpacks to
READABLE = re.compile(r"\.(ipynb(\.txt|\.json)?|zip)$", re.I)  # browsers and mail programs add endings
COMPANION = re.compile(r"\.|(__MACOSX|__pycache__|Thumbs\.db|desktop\.ini)$")  # left by systems and tools
QUOTED = re.compile(r"""('{3}|"{3}).*?\1|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|#[^\n]*""", re.S)  # or a comment


def load(data):
    """A notebook (nbformat 4, a dict) from the bytes of its file: UTF-8 or UTF-16, with a byte order mark or without.

    Older formats are converted. What is no notebook raises `ValueError`, or whatever else it leads to.
    """
    notebook = json.loads(data)
    return notebook if "cells" in notebook else nbformat.convert(nbformat.from_dict(notebook), 4)


def verdicts(notebook, file=""):
    """What the checks said in a notebook (a dict): {"c01.psnr": "correct" | "unclear" | "not yet" | "not run", ...}.

    A line of output counts if the source of its cell calls the check that it names, in whatever way. "unclear" is a
    line without such a call: typed by hand, or left from before the cell was changed. The best of several counts. All
    checks of a chapter are listed if one of them is called, or if the title, or else the file's name, has its number:
    an exercise that was deleted is "not run", like one whose cell ended before its check.
    """
    found = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            calls = re.findall(r"\b(c\d\d\.\w+)\s*\(", QUOTED.sub("", "".join(cell["source"])))
            said = "".join("".join(part["text"]) for part in cell.get("outputs") or [] if part.get("name") == "stdout")
            lines = re.findall(r"^(c\d\d\.\w+): (Correct\.|Not yet: .+)$", "\n".join(said.splitlines()), re.M)
            for check, words in lines + [(check, "") for check in calls]:
                mark = "unclear" if check not in calls else {"": "not run", "Correct.": "correct"}.get(words, "not yet")
                found[check] = max(mark, found.get(check, mark), key=["not run", "not yet", "unclear", "correct"].index)
    prose = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    title = re.findall(r"^# *(\d\d)\b", prose, re.M)[:1] or re.findall(r"(?<![^/_ ])\d\d(?=[-_ .(][^/]*$)", file)
    chapters = {check[:3] for check in found} | {f"c{number}" for number in title}
    return {
        check: found.get(check, "not run")
        for module in pkgutil.iter_modules(exercises.__path__)
        if module.name in chapters
        for check in exercises.names(module.name)
    }


def answers(notebook):
    """What stands in the cells tagged `answer` of a notebook (a dict): {"04.6": text, ...}.

    The name is the cell's metadata `srlib.question`; where an editor lost it, "answer 1", "answer 2", ...
    """
    found = {}
    for cell in notebook["cells"]:
        if "answer" in cell.get("metadata", {}).get("tags", []):
            question = str(cell["metadata"].get("srlib", {}).get("question"))
            name = question if re.fullmatch(r"\d\d\.\d+", question) else f"answer {len(found) + 1}"
            found[name] = "\n\n".join(filter(None, [found.get(name), "".join(cell["source"])]))  # a cell cut in two
    return found


def unread(file, reason):
    """The rows of a file that is not read: one."""
    return [{"file": file, "note": f"not read: {' '.join(reason.split())[:300]}"}]


def collect(path, file=""):
    """The rows (dicts) of all notebooks at `path`: "file", "note", then the notebook's `verdicts` and `answers`.

    path: a `pathlib.Path` of a folder, an archive or a file, or a `zipfile.Path` in an archive, of which nothing is
    unpacked to disk. file: its name in the table. What is not read gets a row, too, whose note says why; below the
    first folder, where everybody has their own, files that are neither notebook nor archive share that of their folder.
    """
    try:
        if isinstance(path, pathlib.Path) and not path.is_dir():
            size, zipped = path.stat().st_size, path.suffix.lower() == ".zip"
            size += sum(  # only of what is stored or deflated is the size sure
                part.file_size if part.compress_type in (0, 8) and len(part.filename) < 1000 else LIMIT
                for part in (zipfile.ZipFile(path).infolist() if zipped else [])
            )
            if not 0 < size <= LIMIT:
                return unread(file, f"{size:,} bytes, not 1 to {LIMIT:,}: ask for it without pictures and data")
            path = zipfile.Path(path) if zipped else path
        if path.is_dir() and not pathlib.Path(str(path)).is_symlink():  # links may lead in a circle
            parts = {part.name: part for part in path.iterdir() if not COMPANION.match(part.name)}
            others = sorted(name for name in parts if file and parts[name].is_file() and not READABLE.search(name))
            rows = [collect(parts[name], f"{file}/{name}".lstrip("/")) for name in sorted(parts.keys() - others)]
            return sum(
                rows, unread(file, f"no notebook: {', '.join(others) or 'nothing in it'}") if others or not rows else []
            )
        if not READABLE.search(file) or path.suffix.lower() == ".zip":
            return unread(file, "no notebook")
        with path.open("rb") as stream:
            # without pictures, which are base64: most of a large notebook, and never a verdict
            notebook = load(re.sub(rb'(?<!\\)"(?=[\w+/=\\]{4096})(?:[\w+/=]++|\\n)++"', b'""', stream.read(LIMIT)))
        said = verdicts(notebook, file)
        return [
            {"file": file, "note": f"{[*said.values()].count('correct')} of {len(said)} correct"}
            | said
            | answers(notebook)
        ]
    except ImportError:  # no student's fault
        raise
    except Exception as error:  # whatever a stranger's file leads to, the class goes on
        return unread(file, f"damaged, or not what its name says ({type(error).__name__}: {error})")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="srlib collect", description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="where the notebooks are, in any folders below or archives")
    parser.add_argument("--csv", metavar="FILE", help="also write a table, with the answers to open questions")
    options = parser.parse_args(arguments)
    rows = collect(options.folder.resolve(strict=True))
    for row in rows:
        open_ones = [f"{check} {mark}" for check, mark in row.items() if check[0] == "c" and mark != "correct"]
        runtime.say(re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", "; ".join([f"{row['file']}: {row['note']}", *open_ones])))
    if options.csv:
        names = sorted(
            dict.fromkeys(name for row in rows for name in row),
            key=lambda name: (name not in ("file", "note"), name[0] != "c", name[:3]),
        )
        with (
            runtime.replacing(options.csv) as partial,
            open(partial, "w", encoding="utf-8-sig", errors="backslashreplace", newline="") as text,
        ):
            csv.writer(text).writerows(
                [names, *([re.sub(r"^(?=\s*[=+\-@])", "'", row.get(name, "")) for name in names] for row in rows)]
            )
