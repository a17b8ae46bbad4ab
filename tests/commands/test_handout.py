"""What is handed out holds no answer, loses no exercise, and runs; what comes back from it is read."""

import json
import os
import pathlib
import re

import nbformat
import pytest
from nbclient import NotebookClient

from srlib import commands
from srlib.commands import collect, handout

ROOT = pathlib.Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FULL = "https://github.com/learn-face-sr/learn-face-sr/blob/main/notebooks/00_quickstart.ipynb"
COLAB = FULL.replace("https://github.com", "https://colab.research.google.com/github")


def cell(source, kind="markdown", **more):
    """A cell; what must not be handed out is called SECRET."""
    ran = {"outputs": [{"output_type": "stream", "name": "stdout", "text": "SECRET"}], "execution_count": 7}
    return {"cell_type": kind, "metadata": {}, "source": source} | (ran if kind == "code" else {}) | more


def plain(*cells, **metadata):
    """The cells of a notebook as they are handed out."""
    chapter = handout.without_answers({"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": list(cells)})
    nbformat.validate(chapter)
    assert "SECRET" not in json.dumps(chapter)
    return chapter["cells"]


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class") / "students"
    assert not commands.main(["handout", str(folder), "--notebooks", str(ROOT / "notebooks")])
    return folder


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_answer_of_a_chapter_is_handed_out_and_nothing_else_is_lost(path, handed_out):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    whole = "\n".join("".join(part["source"]) for part in cells)
    lesson, heading, exercises = whole.partition("## Exercises")
    pieces = re.split("</?details>", exercises)
    lines = {line.strip() for line in "\n".join([lesson, heading, *pieces[::2]]).splitlines()}
    secrets = {line.strip() for line in "\n".join(pieces[1::2]).splitlines()} - lines
    chapter = json.loads((handed_out / path.name).read_text(encoding="utf-8"))
    nbformat.validate(chapter)
    handed = {line.strip() for part in chapter["cells"] for line in part["source"].splitlines()}
    assert len(secrets) > 5 and not secrets & handed
    assert all("[Open in Colab](" in line for line in lines - handed)


@pytest.mark.parametrize(
    "answer",
    [
        "<details><summary>Answer</summary>SECRET</details>",
        "<details open>\nSECRET\n</details>",
        "<DETAILS\n class='a'>SECRET</DETAILS >",
        "<details>SECRET<details>SECRET</details>SECRET</details>",
        "<details>\n\n```python\nSECRET = '</details>'  # SECRET\nb = '<details>'\n```\n\nSECRET</details>",
        "<details>`</details>`, SECRET, `<details>`</details>",
        "<details>a lone ` and ``` SECRET</details>",
        "<!-- <details> SECRET -->",
    ],
)
def test_folded_answers_go_in_every_form(answer):
    hint, border = "<details>a hint</details>", "<details>a hint</details>\n## 10. Exercises\n1 Do."
    kept = plain(cell(hint), cell(f"{border}\n\n{answer} or"), cell(f"2 Do.{answer}"), cell(answer))
    assert [part["source"] for part in kept] == [hint, f"{border} or", "2 Do."]
    assert plain(cell(f"{hint} 3{answer}"))[0]["source"] == " 3", "without the heading, nobody knows what is an answer"


@pytest.mark.parametrize(
    "link",
    [
        f"[Open in Colab]({COLAB}) · [Open in Kaggle](https://kaggle.com/kernels/welcome?src={FULL})",
        f'<a href="{COLAB}" target="_parent"><img src="https://x.org/badge.svg" alt="Open In Colab"/></a>',
        f"<A class=b\n href='{FULL}'\n>full\nversion</A>",
        f"[![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)]({COLAB} 'title')",
        f"<{FULL}>",
        FULL.replace("https://", ""),
        FULL.replace("blob", "tree").replace("/00_quickstart.ipynb", ""),
        "https://mybinder.org/v2/gh/learn-face-sr/learn-face-sr/main",
        "https://colab.research.google.com/drive/1aBcD",
        "https://nbviewer.org/github/learn-face-sr",
    ],
)
def test_links_to_the_full_version_go_and_others_stay(link):
    other = (
        "[glossary](GLOSSARY.md), [02](02_architecture.ipynb), https://keras.io/api, [0, 1], git+https://github.com/a/b"
    )
    cells = plain(cell(link, metadata={"id": "view-in-github"}), cell(f"See {link} {other}"), cell(f"# {link}", "code"))
    assert [part["source"].split() for part in cells] == [["See", *other.split()], ["#"]]


def test_nothing_but_text_tags_and_questions_is_taken_over():
    secret = {"answer": "SECRET", "collapsed": True}
    cells = [
        cell("1 + 1", "code", metadata=secret | {"tags": ["exercise"]}),
        cell("SECRET", metadata={"tags": ["answer"], "srlib": {"question": "00.4"}}),
        cell(
            "![](attachment:the%20question.png)",
            attachments={"the question.png": {}, "answer": {"image/png": "SECRET"}},
        ),
        cell("<b>as it is</b>", "raw"),
    ]
    code, answer, picture, raw = plain(*cells, widgets={"state": "SECRET"}, colab=secret, authors=["SECRET"])
    assert code["metadata"] == {"tags": ["exercise"]} and code["source"] == "1 + 1" and code["execution_count"] is None
    assert answer["source"] == "" and answer["metadata"] == {"tags": ["answer"], "srlib": {"question": "00.4"}}
    assert list(picture["attachments"]) == ["the question.png"] and raw["source"] == "<b>as it is</b>"


@pytest.mark.parametrize(
    "answer", ["<details>SECRET", "SECRET</details>", "```\n<details>SECRET</details>\n```\n</details>"]
)
def test_a_chapter_of_which_answers_might_remain_is_refused(tmp_path, answer, capsys):
    notebooks, folder = tmp_path / "mine", tmp_path / "students"
    notebooks.mkdir()
    for name, source in {"._1.ipynb": answer, "00.ipynb": "fine", "01.ipynb": f"## Exercises\n{answer}"}.items():
        (notebooks / name).write_text(
            json.dumps({"nbformat": 4, "nbformat_minor": 4, "cells": [cell(source)]}), "utf-8-sig"
        )
    assert commands.main(["handout", str(folder), "--notebooks", str(notebooks)]) == 1
    assert f"{os.sep}01.ipynb cannot be handed out" in capsys.readouterr().out and not folder.exists()
    assert handout.handout(folder, notebooks, ["00"]) == [folder / "00.ipynb"]


def test_chapters_come_week_by_week_and_nothing_is_overwritten(tmp_path):
    handout.handout(tmp_path, ROOT / "notebooks", ["00", "03"])
    handout.handout(tmp_path, ROOT / "notebooks", ["01"])
    with pytest.raises(FileExistsError, match="01_data.ipynb, perhaps somebody's work"):
        handout.handout(tmp_path, ROOT / "notebooks", ["01", "02"])
    with pytest.raises(FileNotFoundError, match="07"):
        handout.handout(tmp_path, ROOT / "notebooks", ["02", "07"])
    assert {path.name[:2] for path in tmp_path.iterdir()} == {"00", "01", "03", "GL"}


def test_a_full_disk_leaves_no_half_of_a_chapter(tmp_path):
    """Saved by Windows' editor, too. The next call would say that the chapter is there already."""
    resource = pytest.importorskip("resource")
    text = json.dumps({"nbformat": 4, "nbformat_minor": 4, "cells": [cell("é" * 9_000)]}, ensure_ascii=False)
    (tmp_path / "00.ipynb").write_text(text, "utf-16")
    (tmp_path / "GLOSSARY.md").write_text("é", "utf-16")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            handout.handout(tmp_path / "out", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "out" / "00.ipynb").exists()
    handout.handout(tmp_path / "out", tmp_path)
    assert (tmp_path / "out" / "GLOSSARY.md").read_text("utf-8") == "é"


@pytest.mark.slow
def test_what_is_handed_out_runs_and_is_collected(handed_out, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    notebook = nbformat.read(handed_out / "00_quickstart.ipynb", 4)
    done = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(handed_out)}}).execute()
    assert list(collect.verdicts(done).values()) == ["not yet"] * 3
