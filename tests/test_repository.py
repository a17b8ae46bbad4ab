"""Hygiene: what README, environment and notebooks promise is what the repository holds."""

import ast
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "README.md").read_text()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHAPTERS = ["00_quickstart", "01_data", "02_architecture", "03_losses", "04_training", "05_evaluation", "06_scaling_out"]


def cells_of(path):
    return json.loads(path.read_text())["cells"]


def source(cell):
    return "".join(cell["source"])


def code_cells(path):
    return [cell for cell in cells_of(path) if cell["cell_type"] == "code"]


def markdown(path):
    return "\n".join(source(cell) for cell in cells_of(path) if cell["cell_type"] == "markdown")


def test_all_chapters_are_here():
    assert [path.stem for path in NOTEBOOKS] == CHAPTERS


# --- README and environment ------------------------------------------------------------------------


def test_the_ci_runs_the_readmes_test_command():
    command = next(line for line in README.splitlines() if line.endswith(".venv/bin/pytest"))
    assert command.replace("pip install", "pip install -q") in (ROOT / ".ci" / "run").read_text()


def test_the_readmes_commands_name_things_that_exist():
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", README + (ROOT / "notebooks" / "TEACHING.md").read_text(), re.S)
    assert blocks
    extras = PROJECT["project"]["optional-dependencies"]
    for line in "\n".join(blocks).splitlines():
        for extra in re.findall(r'"\.\[([\w,]+)\]"', line):
            assert set(extra.split(",")) <= set(extras)
        for path in re.findall(r"notebooks/[\w.]+ipynb", line):
            assert (ROOT / path).exists(), path
        for module in re.findall(r"python3? -m (srlib\.\w+)", line):
            assert (ROOT / (module.replace(".", "/") + ".py")).exists(), module


def test_environment_installs_the_project_and_lists_no_package_twice():
    lines = [line.split("#")[0].strip() for line in (ROOT / "environment.yml").read_text().splitlines()]
    wanted = [line[2:] for line in lines if line.startswith("- ")]
    assert wanted[0] == "conda-forge" and wanted[2:4] == ["pip", "pip:"]
    assert wanted[1].startswith("python" + PROJECT["project"]["requires-python"])
    assert wanted[4:] == [".[offline,test]"]


READDRESS = "a fork changes pyproject.toml, then runs: sed -i 's#OLD/NAME#NEW/NAME#g' notebooks/*"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_cell_installs_this_repository_and_nothing_else(path):
    """Without srlib's dependencies: a platform's own TensorFlow, NumPy and Jupyter must stay as they are."""
    first = source(code_cells(path)[0])
    command = f'    %pip install -q --no-deps "srlib @ git+{PROJECT["project"]["urls"]["Repository"]}"'
    assert first.startswith("try:\n    import srlib\nexcept ModuleNotFoundError:") and command in first.splitlines(), READDRESS


def test_links_lead_somewhere():
    address = PROJECT["project"]["urls"]["Repository"]
    owner_and_name = address.removeprefix("https://github.com/")
    texts = {ROOT / "README.md": README} | {path: markdown(path) for path in NOTEBOOKS}
    texts |= {path: path.read_text() for path in (ROOT / "notebooks").glob("*.md")}
    for path, text in texts.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text):
            if target.startswith("http"):
                if "colab" in target or "kaggle.com/kernels" in target or "github.com" in target:
                    assert owner_and_name in target, f"{path.name}: {target} is not in {address}; {READDRESS}"
                    for notebook in re.findall(r"notebooks/[\w.]+", target):
                        assert (ROOT / notebook).exists()
            elif not target.startswith("#"):
                assert (path.parent / target.split("#")[0]).exists(), f"{path.name} links to {target}"


def test_nothing_else_stands_at_the_top():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    allowed = {".ci", ".gitignore", "LICENSE", "README.md", "environment.yml", "notebooks", "pyproject.toml", "srlib", "tests"}
    assert {name.split("/")[0] for name in listed} <= allowed


def test_no_machine_path_is_tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    forbidden = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|work|mnt)/\w")
    for name in listed:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".yml", ".json", ".csv", ".ipynb"} and path.exists() and path.name != "test_repository.py":
            hit = forbidden.search(path.read_text())
            assert not hit, f"{name}: {path.read_text()[hit.start() : hit.start() + 60]!r}"
            assert path.stat().st_size < 5_000_000
        assert not re.search(r"\d{6}\.jpg$", name), "CelebA images may not be redistributed"


def test_the_wheel_holds_the_weights_and_runs_a_chapter_in_an_empty_folder(tmp_path):
    build = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "-q", "-w", str(tmp_path)], capture_output=True, text=True
    )
    if build.returncode and re.search("connection|resolve|No matching distribution found for setuptools", build.stderr, re.I):
        pytest.skip("building a wheel fetches setuptools, and there is no network")
    assert build.returncode == 0, build.stderr
    (wheel,) = tmp_path.glob("*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(site)
    assert {path.name for path in (ROOT / "srlib" / "weights").glob("*.npz")} == {path.name for path in site.rglob("*.npz")}
    empty.mkdir()
    (empty / "chapter.ipynb").write_text((ROOT / "notebooks" / "00_quickstart.ipynb").read_text())
    script = (
        f"import os, sys; os.environ['PYTHONPATH'] = {str(site)!r}\n"
        "import nbformat; from nbclient import NotebookClient\n"
        "nb = nbformat.read('chapter.ipynb', 4); NotebookClient(nb, timeout=300, kernel_name='python3').execute()\n"
        "print(nb.cells[-1].outputs[0].text)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=empty, capture_output=True, text=True)
    assert "00_quickstart finished" in run.stdout, run.stderr[-2000:]


# --- notebooks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_executed_clean_and_small(path):
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell["outputs"]:
            assert output["output_type"] != "error", source(cell)[:80]
            assert output.get("name") != "stderr", "".join(output["text"])[:200]
            text = "".join(output.get("text", [])) + "".join(output.get("data", {}).get("text/plain", []))
            assert not re.search(r"site-packages|/tmp/|Traceback|Warning:|oneDNN", text), text[:200]
    assert path.stat().st_size < 400_000
    assert "".join(cells[-1]["outputs"][0]["text"]).strip() == f"{path.stem} finished"
    assert "NBVAL_CHECK_OUTPUT" in source(cells[-1])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_the_designs_parts(path):
    text = markdown(path)
    for part in ("**After this chapter you can**", "**Time**", "**You need**", "## Summary", "## Exercises", "## Quiz", "## Further reading"):
        assert part in text, part
    assert text.split("## Quiz")[1].count("<details>") == 4
    prose = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|!\[", "", text, flags=re.S)
    assert "!" not in prose, "no exclamation marks"


def figures(path):
    outputs = [output for cell in code_cells(path) for output in cell["outputs"]]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def tagged(path, tag):
    return [cell for cell in cells_of(path) if tag in cell["metadata"].get("tags", [])]


RHYTHM = {  # the design's ranges
    "cells": (45, 65),
    "words": (2000, 3000),
    "words per code cell": (80, 130),
    "median lines": (0, 12),
    "figures": (6, 12),
    "exercises": (3, 5),
    "quiz": (4, 4),
}


def rhythm(path):
    """What the design limits, for one chapter; exercises count the open one, too."""
    code, text = code_cells(path), markdown(path)
    exercises, quiz = text.split("## Exercises")[1].split("## Quiz")
    words = len(text.split())
    return {
        "cells": len(cells_of(path)),
        "words": words,
        "words per code cell": words / len(code),
        "median lines": statistics.median(len(source(cell).splitlines()) for cell in code),
        "figures": figures(path),
        "exercises": len(re.findall(r"^\*\*(?:Exercise )?\d", exercises, re.M)),
        "quiz": len(re.findall(r"<details>", quiz)),
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_designs_rhythm(path):
    """The design's ranges, each widened by a third; exercises and quiz exactly."""
    for name, value in rhythm(path).items():
        low, high = RHYTHM[name]
        if name not in ("exercises", "quiz"):
            low, high = 2 / 3 * low, 4 / 3 * high
        assert low <= value <= high, f"{path.stem}: {name} is {value:.0f}, allowed are {low:.0f} to {high:.0f}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_figures_are_followed_by_what_we_see_and_experiments_are_predicted(path):
    cells = cells_of(path)
    kinds = [cell["cell_type"] for cell in cells]
    for index, cell in enumerate(cells):
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            assert "markdown" in kinds[index + 1 : index + 3], f"nothing is said about the figure of cell {index}"
    assert len(re.findall(r"before you run", markdown(path), re.I)) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_sliders_have_a_picture_in_their_place(path):
    """GitHub and print show no widgets: a figure stands in the cell before or behind."""
    cells = code_cells(path)

    def shows(cell, kind):
        return any(kind in output.get("data", {}) for output in cell["outputs"])

    for index, cell in enumerate(cells):
        if shows(cell, "application/vnd.jupyter.widget-view+json"):
            assert any(shows(other, "image/png") for other in cells[index - 2 : index + 2]), source(cell)


def test_chapters_lead_to_their_neighbours():
    for index, path in enumerate(NOTEBOOKS):
        last_words = source([cell for cell in cells_of(path) if cell["cell_type"] == "markdown"][-1])
        for mark, neighbour in (("Previous", index - 1), ("Next", index + 1)):
            if 0 <= neighbour < len(NOTEBOOKS):
                assert re.search(rf"{mark}: \[[^\]]*\]\({NOTEBOOKS[neighbour].name}\)", last_words), f"{path.name}: {mark}"
        assert "](GLOSSARY.md)" in source(cells_of(path)[0]) and "](GLOSSARY.md)" in last_words


def test_the_glossary_explains_terms_where_they_are_taught():
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \| \[(\d\d)\]\((.+?)\) \|$", (ROOT / "notebooks" / "GLOSSARY.md").read_text(), re.M)
    assert len(rows) > 40
    names = [name.lower() for name, *_ in rows]
    assert names == sorted(names) and len(set(names)) == len(names)
    texts = {path.name: markdown(path).lower() + "".join(map(source, code_cells(path))).lower() for path in NOTEBOOKS}
    for name, meaning, number, target in rows:
        assert target.startswith(number) and target in texts, name
        assert meaning.endswith(".") and ". " not in meaning.replace("et al. ", ""), f"{name}: one sentence"
        known_as = re.split(r"[,()]+ ?", name.lower())
        assert any(word.strip() in texts[target] for word in known_as if word.strip()), f"{name} is not in {target}"


def definitions(text):
    """Top-level functions and classes of a module or cell, as syntax trees without docstrings."""
    text = re.sub(r"^(\s*)%.*$", r"\1pass", text, flags=re.M)  # IPython magics
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            for inner in ast.walk(node):
                if isinstance(inner, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(inner) is not None:
                    inner.body = inner.body[1:] or [ast.Pass()]
            found[node.name] = ast.dump(node)
    return found


def package_definitions():
    found = {}
    for path in (ROOT / "srlib").glob("*.py"):
        for name, tree in definitions(path.read_text()).items():
            found.setdefault(name, []).append(tree)
    return found


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_taught_code_is_the_packages_code(path):
    package = package_definitions()
    taught = [cell for cell in code_cells(path) if "taught" in cell["metadata"].get("tags", [])]
    assert len(taught) >= 3
    for cell in taught:
        in_cell = definitions(source(cell))
        assert in_cell, f"a taught cell defines nothing: {source(cell)[:80]}"
        for name, tree in in_cell.items():
            assert tree in package.get(name, []), f"{path.name}: {name} differs from srlib's"
    for cell in code_cells(path):  # and nothing is taught without the tag, where it could drift
        if cell not in taught:
            known = set(re.findall(r"^(?:def|class) (\w+)", source(cell), re.M)) & set(package)
            assert not known, f"{path.name} defines {known} as srlib does, in a cell without the tag `taught`"
