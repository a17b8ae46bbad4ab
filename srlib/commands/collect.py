"""List what the checks said in submitted notebooks, and what was answered to open questions. Nothing is run."""

import csv
import json
import pathlib
import pkgutil
import re
import zipfile

from .. import datasets, exercises, runtime

LIMIT = 250_000_000  # bytes of a notebook, or of all that an archive unpacks to
TOO_LARGE = f"unpacked, it is larger than {LIMIT / 1e6:.0f} MB: ask for it without pictures and data"
READABLE = re.compile(r"\.ipynb(\.txt|\.json)?$", re.I)  # browsers and mail programs add endings
QUOTED = re.compile(  # or a comment; what never ends is taken to its line's end, or a search would begin at every sign
    r"""('{3}|"{3}).*?(?:\1|\Z)|'(?:\\.|[^'\\\n])*'?|"(?:\\.|[^"\\\n])*"?|#[^\n]*""", re.S
)


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
            lines = re.findall(r"^.*?\b(c\d\d\.\w+): (Correct\.|Not yet: .+)$", "\n".join(said.splitlines()), re.M)
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
    """What stands in the cells tagged `answer` of a notebook (a dict): {"answer 04.6": text, ...}.

    The number is the cell's metadata `srlib.question`; where an editor lost it, a question mark.
    """
    found = {}
    for cell in notebook["cells"]:
        if "answer" in cell.get("metadata", {}).get("tags", []):
            name = f"answer {cell['metadata'].get('srlib', {}).get('question', '?')}"
            found.setdefault(name, []).append("".join(cell["source"]))  # a cell may have been cut in two
    return {name: "\n\n".join(texts) for name, texts in found.items()}


def unread(file, reason):
    """The rows of a file that is not read: one."""
    return [{"file": file, "note": f"not read: {' '.join(reason.split())[:300]}"}]


def collect(path, file=""):
    """The rows (dicts) of all notebooks at `path`: "file", "note", then the notebook's `verdicts` and `answers`.

    path: a `pathlib.Path` of a folder, an archive or a file, or a `zipfile.Path` in an archive, of which nothing is
    unpacked to disk. file: its name in the table. What is not read gets a row, too, whose note says why.
    """
    try:
        if path.is_dir() and not (  # a link may lead in a circle
            isinstance(path, pathlib.Path) and path.resolve() in map(pathlib.Path.resolve, path.absolute().parents)
        ):
            parts = sorted(part.name for part in path.iterdir() if not datasets.LEFTOVERS.fullmatch(part.name))
            rows = [collect(path / name, f"{file}/{name}".lstrip("/")) for name in parts]
            return sum(rows, []) or unread(file, "nothing in it")
        if isinstance(path, pathlib.Path) and path.suffix.lower() == ".zip":
            archive = zipfile.ZipFile(path)
            for part in archive.filelist:  # some programs begin every name with ./ or a stroke
                part.filename = re.sub(r"^(\.{0,2}/)+", "", part.filename)
                archive.NameToInfo[part.filename] = part
            sizes = [part.file_size if part.compress_type in (0, 8) else LIMIT + 1 for part in archive.filelist]
            return collect(zipfile.Path(archive), file) if sum(sizes) <= LIMIT else unread(file, TOO_LARGE)
        if not READABLE.search(file) or not path.is_file():  # a pipe would never end
            return unread(file, "no notebook")
        with path.open("rb") as stream:
            notebook = json.loads(stream.read(LIMIT))  # bytes: UTF-8 or UTF-16, with a byte order mark or without
        said = verdicts(notebook, file)
        note = f"{[*said.values()].count('correct')} of {len(said)} correct"
        return [{"file": file, "note": note} | said | answers(notebook)]
    except Exception as error:  # whatever a stranger's file leads to, the class goes on
        return unread(file, f"damaged, or not what its name says ({type(error).__name__}: {error})")


OPTIONS = {
    "folder": {"type": pathlib.Path, "help": "where the notebooks are, in any folders below or archives"},
    "--csv": {"dest": "file", "metavar": "FILE", "help": "also write a table, with the answers to open questions"},
}


def main(folder, file):
    rows = collect(folder.resolve(strict=True))
    for row in rows:
        open_ones = [f"{check} {mark}" for check, mark in row.items() if check[0] == "c" and mark != "correct"]
        runtime.say(re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", "; ".join([f"{row['file']}: {row['note']}", *open_ones])))
    if file:
        names = sorted(
            dict.fromkeys(name for row in rows for name in row),
            key=lambda name: (name not in ("file", "note"), name[0] != "c", name[:3]),
        )
        table = [[re.sub(r"^(?=\s*[=+\-@])", "'", row.get(name, "")) for name in names] for row in rows]
        with (
            runtime.replacing(file) as partial,
            open(partial, "w", encoding="utf-8-sig", errors="backslashreplace", newline="") as text,
        ):
            csv.writer(text).writerows([names, *table])
