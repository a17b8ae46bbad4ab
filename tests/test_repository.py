"""What README, environment and package data promise is what the repository holds."""

import json
import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile

import nbformat
import pytest

ROOT = pathlib.Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
READDRESS = "the address differs; srlib/__init__.py says how to set it everywhere"


def tracked():
    return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")[:-1]


def markdown(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_the_ci_runs_the_readmes_test_command():
    command = next(line for line in README.splitlines() if line.endswith(".venv/bin/pytest"))
    assert command.replace("pip install", "pip install -q") in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_readmes_commands_name_things_that_exist():
    from srlib.commands import COMMANDS

    teaching = (ROOT / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", README + teaching, re.S)
    assert blocks
    extras = PROJECT["project"]["optional-dependencies"]
    for line in "\n".join(blocks).splitlines():
        for extra in re.findall(r'"\.\[([\w,]+)\]"', line):
            assert set(extra.split(",")) <= set(extras)
        for path in re.findall(r"notebooks/[\w.]+ipynb", line):
            assert (ROOT / path).exists(), path
        for command in re.findall(r"(?:^|/|-m )srlib (\w+)", line):
            assert command in COMMANDS, line
        assert "-m srlib." not in line, line


DEAF = """
import time
while True:
    try:
        time.sleep(0.1)
    except:
        pass  # an interruption, too
"""


@pytest.mark.slow
def test_a_submission_runs_again_whatever_its_kernel_was_called_and_comes_to_an_end(tmp_path):
    """TEACHING's command, with a shorter limit: another kernel's name, cells that do not end, one that fails."""
    teaching = (ROOT / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")
    command = re.search(r"/jupyter (nbconvert --to notebook --execute .*) NAME.ipynb", teaching)[1]
    cells = [nbformat.v4.new_code_cell(source) for source in ("while True: pass", "1 / 0", "6 * 7", DEAF)]
    kernel = {"kernelspec": {"name": "conda-env-face-sr-py", "display_name": "face-sr", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "a.ipynb")
    words = [sys.executable, "-m", *command.replace("timeout=600", "timeout=1").split(), str(tmp_path / "a.ipynb")]
    run = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr[-1000:]
    endless, failed, last = (cell.outputs[0] for cell in nbformat.read(tmp_path / "a.ipynb", 4).cells[:3])
    assert [endless.ename, failed.ename, last.data["text/plain"]] == ["KeyboardInterrupt", "ZeroDivisionError", "42"]


def test_environment_installs_the_project_and_lists_no_package_twice():
    lines = [line.split("#")[0].strip() for line in (ROOT / "environment.yml").read_text().splitlines()]
    wanted = [line[2:] for line in lines if line.startswith("- ")]
    assert wanted[0] == "conda-forge" and wanted[2:] == ["pip", "pip:", "-e .[notebooks,offline]"]
    assert wanted[1].startswith("python" + PROJECT["project"]["requires-python"])


def test_every_chapter_begins_with_the_same_cell_that_finds_or_installs_srlib():
    notebooks = [json.loads(path.read_text(encoding="utf-8"))["cells"] for path in NOTEBOOKS]
    first = {"".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code")) for cells in notebooks}
    assert len(first) == 1
    assert f'"srlib @ git+{PROJECT["project"]["urls"]["Repository"]}"' in first.pop(), READDRESS


def test_links_lead_somewhere():
    repository = PROJECT["project"]["urls"]["Repository"]
    assert f"repository-code: {repository}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8"), READDRESS
    page = f"{repository}/blob/main/notebooks/"
    services = {"github": "github.com", "colab": "colab.research.google.com", "kaggle": "kaggle.com"}
    for name, host in services.items():
        services[name] = f"https://{name}.invalid" if ".invalid/" in repository else f"https://{host}"
    opened = {
        page.replace(services["github"], services["colab"] + "/github"),
        f"{services['kaggle']}/kernels/welcome?src={page}",
    }
    for path in [ROOT / "README.md", *(ROOT / "notebooks").glob("*.md"), *NOTEBOOKS]:
        text = markdown(path)
        for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text):
            if re.search(r"//(\w+\.)*(colab|kaggle|github)\b.*notebooks/", target):
                start, notebook = target[: target.rindex("/") + 1], target[target.rindex("/") + 1 :]
                assert start in opened and (ROOT / "notebooks" / notebook).exists(), f"{path.name}: {READDRESS}"
            elif not target.startswith(("http", "#")):
                assert (path.parent / target.split("#")[0]).exists(), f"{path.name} links to {target}"


def test_nothing_else_stands_at_the_top():
    tools = ".ci .github .gitignore CITATION.cff LICENSE environment.yml pyproject.toml"
    assert {name.split("/")[0] for name in tracked()} <= {*tools.split(), "README.md", "notebooks", "srlib", "tests"}


def test_no_machine_path_and_no_face_is_tracked():
    forbidden = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|work|mnt)/\w")
    for name in tracked():
        path = ROOT / name
        assert not re.search(r"\d{6}\.(jpg|png)$", name), "CelebA images may not be redistributed"
        if path.suffix in {".py", ".md", ".toml", ".yml", ".json", ".csv", ".ipynb"} and path.exists():
            text = path.read_text(encoding="utf-8")
            hit = path.name != "test_repository.py" and forbidden.search(text)
            assert not hit, f"{name}: {text[hit.start() : hit.start() + 60]!r}"


@pytest.mark.slow
def test_the_wheel_holds_the_weights_and_runs_a_chapter_in_an_empty_folder(tmp_path):
    words = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "-q", "-w", str(tmp_path)]
    build = subprocess.run(words, capture_output=True, text=True)
    if build.returncode and re.search("connection|resolve|No matching distribution", build.stderr, re.I):
        pytest.skip("building a wheel fetches setuptools, and there is no network")
    assert build.returncode == 0, build.stderr
    (wheel,) = tmp_path.glob("*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(site)
    package = {name.removeprefix("srlib/") for name in tracked() if name.startswith("srlib/")}
    assert package <= {path.relative_to(site / "srlib").as_posix() for path in (site / "srlib").rglob("*")}
    empty.mkdir()
    (empty / "chapter.ipynb").write_bytes((ROOT / "notebooks" / "00_quickstart.ipynb").read_bytes())
    script = (
        f"import os, sys; os.environ['PYTHONPATH'] = {str(site)!r}\n"
        "import nbformat; from nbclient import NotebookClient\n"
        "nb = nbformat.read('chapter.ipynb', 4); NotebookClient(nb, timeout=300, kernel_name='python3').execute()\n"
        "print(nb.cells[-1].outputs[0].text)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=empty, capture_output=True, text=True)
    assert "00_quickstart finished" in run.stdout, run.stderr[-2000:]
