"""What README, environment and package data promise is what the repository holds."""

import json
import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
READDRESS = "a fork changes pyproject.toml, then runs: sed -i 's#OLD/NAME#NEW/NAME#g' notebooks/*"


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


def test_environment_installs_the_project_and_lists_no_package_twice():
    lines = [line.split("#")[0].strip() for line in (ROOT / "environment.yml").read_text().splitlines()]
    wanted = [line[2:] for line in lines if line.startswith("- ")]
    assert wanted[0] == "conda-forge" and wanted[2:] == ["pip", "pip:", "-e .[offline]"]
    assert wanted[1].startswith("python" + PROJECT["project"]["requires-python"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_cell_installs_this_repository_and_nothing_else(path):
    """Without srlib's dependencies: a platform's own TensorFlow, NumPy and Jupyter must stay as they are."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first = "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))
    command = f'    %pip install -q --no-deps "srlib @ git+{PROJECT["project"]["urls"]["Repository"]}"'
    assert first.startswith("try:\n    import srlib\nexcept ModuleNotFoundError:"), READDRESS
    assert command in first.splitlines(), READDRESS


def test_links_lead_somewhere():
    address = PROJECT["project"]["urls"]["Repository"]
    owner_and_name = address.removeprefix("https://github.com/")
    for path in [ROOT / "README.md", *(ROOT / "notebooks").glob("*.md"), *NOTEBOOKS]:
        text = markdown(path)
        for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text):
            if target.startswith("http"):
                if re.search(r"colab|kaggle\.com/kernels|github\.com", target):
                    assert owner_and_name in target, f"{path.name}: {target} is not in {address}; {READDRESS}"
                    for notebook in re.findall(r"notebooks/[\w.]+", target):
                        assert (ROOT / notebook).exists()
            elif not target.startswith("#"):
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
