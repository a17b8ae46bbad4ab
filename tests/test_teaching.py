"""The teacher's commands: what is handed out holds no answers and runs; what comes back is read."""

import ast
import json
import os
import pathlib
import re
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from srlib import teaching

ROOT = pathlib.Path(__file__).parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def text(cell):
    return "".join(cell["source"])


def tagged(notebook, tag):
    return [cell for cell in notebook["cells"] if tag in cell["metadata"].get("tags", [])]


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class") / "handout"
    command = [sys.executable, "-m", "srlib.teaching", "handout", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_answer_is_handed_out_and_no_exercise_is_lost(path, handed_out):
    full, plain = json.loads(path.read_text()), json.loads((handed_out / path.name).read_text())
    nbformat.validate(nbformat.from_dict(plain))
    assert not tagged(plain, "solution")
    assert [text(cell) for cell in tagged(plain, "exercise")] == [text(cell) for cell in tagged(full, "exercise")]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in plain["cells"] if cell["cell_type"] == "code")
    assert "widgets" not in plain["metadata"]
    words = "\n".join(text(cell) for cell in plain["cells"] if cell["cell_type"] == "markdown")
    behind = words.split("## Exercises")[1]
    assert "<details>" not in behind and "</details>" not in behind and "Answer" not in behind
    assert len(re.findall(r"^\*\*.*\bopen\b", behind, re.M | re.I)) == 1 and len(re.findall(r"^\*\*[1-4]\.?\*\*", behind.split("## Quiz")[1], re.M)) == 4
    assert "Open in Colab" in text(full["cells"][0]) and "Open in Colab" not in words  # that version has the answers
    lost = {text(cell) for cell in full["cells"][1:]} - {text(cell) for cell in plain["cells"]}
    assert all("<details>" in source or source in map(text, tagged(full, "solution")) for source in lost)


def names_in(cell):
    """(defined, used) names of a code cell."""
    nodes = list(ast.walk(ast.parse(re.sub(r"^(\s*)%.*$", r"\1pass", text(cell), flags=re.M))))
    defined = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    defined |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return defined, {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_nothing_depends_on_a_solution(path):
    """Why a chapter that runs also runs without its solutions: no other cell uses a name that they define."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    for index, cell in enumerate(cells):
        if "solution" in cell["metadata"].get("tags", []):
            for other in cells[index + 1 :]:
                own, used = names_in(other)
                leaked = (used - own) & names_in(cell)[0]
                assert not leaked, f"{path.name}: {text(other)[:60]!r} uses {leaked} of a solution"


@pytest.mark.parametrize("path", CHAPTERS[:2], ids=lambda path: path.stem)  # the others take minutes where the CPU is shared
def test_what_is_handed_out_runs(path, handed_out, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    notebook = nbformat.read(handed_out / path.name, 4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(handed_out)}}).execute()
    assert f"{path.stem} finished" in notebook.cells[-1].outputs[0].text
    said = teaching.verdicts(notebook)
    assert len(said) >= 3 and set(said.values()) == {"not yet"}


def test_nothing_is_overwritten(handed_out):
    with pytest.raises(FileExistsError, match="somebody's work"):
        teaching.handout(handed_out, ROOT / "notebooks")
    with pytest.raises(FileNotFoundError, match="no notebooks"):
        teaching.handout(handed_out / "new", handed_out / "nowhere")


def test_folded_text_of_the_lesson_stays():
    lesson = {"cell_type": "markdown", "metadata": {}, "source": ["## 1\n", "<details>a hint</details>\n"]}
    border = {"cell_type": "markdown", "metadata": {}, "source": "<details>b</details>\n## Exercises\n**1** Do.\n\n<details>c</details>"}
    after = {"cell_type": "markdown", "metadata": {}, "source": "## Quiz\n<details>d</details> end"}
    kept = teaching.without_answers({"cells": [lesson, border, after], "metadata": {}})["cells"]
    assert [text(cell) for cell in kept] == [
        "## 1\n<details>a hint</details>\n",
        "<details>b</details>\n## Exercises\n**1** Do.",
        "## Quiz end",
    ]


def test_collect_reads_the_verdicts(tmp_path, capsys):
    def cell(check, said, tags=()):
        outputs = [{"output_type": "stream", "name": "stdout", "text": [said]}] if said else []
        return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": [f"x = 1\nchecks.{check}(x)"], "outputs": outputs}

    work = [cell("c00_blend", "Correct.\n"), cell("c00_share_lost", "Not yet: dots\n"), cell("c00_contradiction", "")]
    work += [cell("c00_share_lost", "Correct.\n", ["solution"]), cell("c00_blend", "Not yet: later\n")]
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "00.ipynb").write_text(json.dumps({"cells": work}))
    teaching.main(["collect", str(tmp_path)])
    line = capsys.readouterr().out.strip().replace("\\", "/")
    assert line == "ada/00.ipynb: 1 of 3 correct; c00_share_lost not yet; c00_contradiction not run"
    with pytest.raises(SystemExit):
        teaching.main(["collect", str(tmp_path / "ada" / "nowhere")])


def test_collect_counts_what_a_check_said_and_names_what_it_cannot_read(tmp_path, capsys):
    def cell(source, said):
        return {"cell_type": "code", "metadata": {}, "source": [source], "outputs": [{"output_type": "stream", "name": "stdout", "text": [said]}]}

    work = [cell("checks.c00_blend(x)\nchecks.c00_share_lost(y)", "Correct.\nNot yet: factor 3\n")]
    work += [cell("checks.c00_contradiction(z)", "Not yet: your code raised ValueError: Correct.\n")]
    (tmp_path / "ada.ipynb").write_text(json.dumps({"cells": work}))
    (tmp_path / "bob.ipynb").write_text('{"cells": [')
    teaching.main(["collect", str(tmp_path)])
    ada, bob = capsys.readouterr().out.splitlines()
    assert ada == "ada.ipynb: 1 of 3 correct; c00_share_lost not yet; c00_contradiction not yet"
    assert bob.startswith("bob.ipynb: 0 of 1 correct; the notebook cannot be read (JSONDecodeError")


def test_collect_misses_what_was_deleted_and_survives_odd_files(tmp_path, capsys):
    def cell(source, output):
        return {"cell_type": "code", "metadata": {}, "source": [source], "outputs": [output]}

    said = {"output_type": "stream", "name": "stdout", "text": "Correct.\n"}
    died = {"output_type": "error", "ename": "SyntaxError", "evalue": "invalid syntax", "traceback": []}
    work = [cell("checks.c00_blend(x)", said), cell("y = =\nchecks.c00_share_lost(y)", died)]  # the third was deleted
    (tmp_path / "ada.ipynb").write_text(json.dumps({"cells": work}))
    (tmp_path / "bob.ipynb").write_text("[]")
    (tmp_path / "cem.ipynb").write_text(json.dumps({"cells": [cell("x", {"text": None})]}))
    (tmp_path / "dan.ipynb").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._ada.ipynb").write_bytes(b"\0\5\x16\7")
    teaching.main(["collect", str(tmp_path)])
    ada, bob, cem = capsys.readouterr().out.splitlines()
    assert ada == "ada.ipynb: 1 of 3 correct; c00_share_lost not run; c00_contradiction not run"
    assert "cannot be read (TypeError" in bob and "cannot be read (TypeError" in cem
