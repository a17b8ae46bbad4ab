"""The house: one direction, no private doors, no side effect of an import, former names that lead on."""

import ast
import pathlib
import subprocess
import sys

import pytest

import srlib

ROOT = pathlib.Path(srlib.__file__).parent
FILES = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted(ROOT.rglob("*.py"))}
FLOORS = [  # from the ground up: a module imports from lower floors only
    "__init__", "runtime", "backend data", "photos", "datasets vgg", "losses", "models metrics plotting judges",
    "pretrained", "inference", "checkpoints", "callbacks", "training", "recipes",
    "widgets exercises commands", "__main__",
]  # fmt: skip
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names.split()}


def floor(module):
    return FLOOR[module.split(".")[0] or "__init__"]


def imported(path):
    """(module, name) of everything that a file imports from srlib, wherever the import stands."""
    package = FILES[path].split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("srlib")):
            base = package[: len(package) + 1 - node.level] if node.level else []
            where = [*base, *(node.module or "").removeprefix("srlib").strip(".").split(".")]
            for alias in node.names:
                whole = ".".join(part for part in [*where, alias.name] if part)
                yield (whole, "") if whole in FILES.values() else (".".join(filter(None, where)), alias.name)


@pytest.mark.parametrize("path", FILES, ids=FILES.get)
def test_imports_go_down_and_take_no_private_name(path):
    modules = set()
    for module, name in imported(path):
        same_room = module.split(".")[0] == FILES[path].split(".")[0] and "." in FILES[path]
        assert same_room or floor(module) < floor(FILES[path]), f"{FILES[path]} imports {module}"
        assert not name.startswith("_") or name.startswith("__"), f"{FILES[path]} imports {module}.{name}"
        modules.add(module.split(".")[-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert not node.attr.startswith("_"), f"{FILES[path]} uses {node.value.id}.{node.attr}"


def test_every_module_has_its_floor():
    assert {name.split(".")[0] for name in FILES.values()} == set(FLOOR)


SIDE_EFFECTS = """
import importlib, os, sys, warnings
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, matplotlib, matplotlib.pyplot, skimage, tensorflow as tf
from tensorflow.python.ops import gen_math_ops
def state():
    return (gen_math_ops.add_n, tf.config.optimizer.get_experimental_options(), list(warnings.filters),
            dict(matplotlib.rcParams), keras.config.dtype_policy().name, keras.config.backend())
before = state()
for name in sys.argv[1:]:
    importlib.import_module("srlib." + name)
    for one, other in zip(before, state()):
        if one != other:
            sys.exit(f"importing srlib.{name} changes {one!r:.200} to {other!r:.200}")
from srlib import runtime
runtime.deterministic()
runtime.setup()
if any(one == other for one, other in zip(before[:4], state()[:4])):
    sys.exit("this test sees nothing")
"""


@pytest.mark.slow
def test_no_import_changes_the_process():
    names = [name for name in FILES.values() if not name.endswith(("__init__", "__main__"))]
    run = subprocess.run([sys.executable, "-c", SIDE_EFFECTS, *names], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-600:]


def test_a_former_name_leads_to_the_new_one():
    from srlib import data, losses, models, plotting, pretrained, training

    for module in (data, losses, models, plotting, pretrained, training):
        names = module.__getattr__.__closure__[1].cell_contents
        for former, new in names.items():
            with pytest.raises(AttributeError, match=rf"{former}: its name is srlib\.{new} now"):
                getattr(module, former)
            *where, last = new.split(".")
            found = __import__("srlib." + ".".join(where), fromlist=[last])
            assert hasattr(found, last), new
        with pytest.raises(AttributeError, match="there is no such name"):
            module.nothing
    with pytest.raises(ImportError, match="srlib.checks is srlib.exercises now"):
        from srlib import checks  # noqa: F401
    with pytest.raises(ValueError, match="dcgan-repaired is dcgan now"):
        pretrained.load("dcgan-repaired")
