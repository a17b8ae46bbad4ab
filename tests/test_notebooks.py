"""The chapters as files: executed in order, clean, whole, and teaching the package's own code. nbval runs them."""

import ast
import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHAPTERS = "00_quickstart 01_data 02_architecture 03_losses 04_training 05_evaluation 06_scaling_out".split()
chapter = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells_of(path, kind=None):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if kind in (None, cell["cell_type"])]


def source(cell):
    return "".join(cell["source"])


def test_all_chapters_are_here():
    assert [path.stem for path in NOTEBOOKS] == CHAPTERS


@chapter
def test_it_was_executed_in_order_and_is_clean(path):
    cells = cells_of(path, "code")
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell["outputs"]:
            assert output["output_type"] != "error", source(cell)[:80]
            assert output.get("name") != "stderr", "".join(output["text"])[:200]
            text = "".join(output.get("text", [])) + "".join(output.get("data", {}).get("text/plain", []))
            assert not re.search(r"site-packages|/tmp/|Traceback|Warning:|oneDNN", text), text[:200]
    assert path.stat().st_size < 2_500_000
    assert "".join(cells[-1]["outputs"][0]["text"]).strip() == f"{path.stem} finished"


@chapter
def test_a_widget_has_a_picture_in_its_place(path):
    """GitHub and print show no widgets: a figure stands in the cell itself, before or behind."""
    cells = cells_of(path, "code")

    def shows(cell, kind):
        return any(kind in output.get("data", {}) for output in cell["outputs"])

    for index, cell in enumerate(cells):
        if shows(cell, "application/vnd.jupyter.widget-view+json"):
            near = cells[max(index - 2, 0) : index + 2]
            assert any(shows(other, kind) for other in near for kind in ("image/png", "image/jpeg")), source(cell)


@chapter
def test_it_leads_to_its_neighbours(path):
    index, last_words = NOTEBOOKS.index(path), source(cells_of(path, "markdown")[-1])
    for mark, neighbour in (("Previous", index - 1), ("Next", index + 1)):
        if 0 <= neighbour < len(NOTEBOOKS):
            assert re.search(rf"{mark}: \[[^\]]*\]\({NOTEBOOKS[neighbour].name}\)", last_words), mark


def test_the_glossary_names_chapters_that_use_its_terms():
    text = (ROOT / "notebooks" / "GLOSSARY.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \| \[(\d\d)\]\((.+?)\) \|$", text, re.M)
    names = [name.lower() for name, *_ in rows]
    assert len(rows) > 40 and names == sorted(names) and len(set(names)) == len(names)
    texts = {path.name: "".join(map(source, cells_of(path))).lower() for path in NOTEBOOKS}
    for name, _, number, target in rows:
        assert target.startswith(number) and target in texts, name
        words = [word.strip() for word in re.split(r"[,()]+ ?", name.lower()) if word.strip()]
        assert any(word in texts[target] for word in words), f"{name} is not in {target}"


# --- taught once -----------------------------------------------------------------------------------


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
    for path in [*(ROOT / "srlib").glob("*.py"), *(ROOT / "srlib" / "commands").glob("*.py")]:
        for name, tree in definitions(path.read_text(encoding="utf-8")).items():
            found.setdefault(name, []).append(tree)
    return found


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_taught_code_is_the_packages_code(path):
    package = package_definitions()
    taught = [cell for cell in cells_of(path, "code") if "taught" in cell["metadata"].get("tags", [])]
    assert len(taught) >= 3
    for cell in taught:
        in_cell = definitions(source(cell))
        assert in_cell, f"a taught cell defines nothing: {source(cell)[:80]}"
        for name, tree in in_cell.items():
            assert tree in package.get(name, []), f"{name} differs from srlib's"
    for cell in cells_of(path, "code"):  # and nothing is taught without the tag, where it could drift
        if cell not in taught:
            known = set(re.findall(r"^(?:def|class) (\w+)", source(cell), re.M)) & set(package)
            assert not known, f"{known} are srlib's names, in a cell without the tag `taught`"
