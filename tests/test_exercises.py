"""For every exercise: the stub and two typical wrong answers fail with words that help, the solution passes."""

import contextlib
import importlib.util
import io
import json
import pathlib
import re
import socket
import time

import numpy as np
import pytest

from srlib import checks, data, losses, metrics, models, runtime, training

HERE = pathlib.Path(__file__).parent
NOTEBOOKS = sorted((HERE.parent / "notebooks").glob("*.ipynb"))


def _answers():
    found = {}
    for path in sorted(HERE.glob("answers_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.update(module.ANSWERS)
    return found


ANSWERS = _answers()


def verdict(name, answer):
    """What the learner reads."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        getattr(checks, name)(answer)
    return said.getvalue().strip()


@pytest.mark.parametrize("name", ANSWERS)
def test_the_solution_passes(name):
    assert verdict(name, ANSWERS[name]["solution"]) == "Correct."


@pytest.mark.parametrize("name", [name for name in ANSWERS if "right" in ANSWERS[name]])
def test_right_answers_in_another_style_pass(name):
    for answer in ANSWERS[name]["right"]:
        assert verdict(name, answer) == "Correct."


@pytest.mark.parametrize("name", ANSWERS)
def test_the_stub_is_told_to_fill_the_dots(name):
    said = verdict(name, ANSWERS[name]["stub"])
    assert said.startswith("Not yet: ") and len(said) > 20


@pytest.mark.parametrize("name", ANSWERS)
def test_wrong_answers_are_told_why(name):
    assert len(ANSWERS[name]["wrong"]) >= 2
    messages = [verdict(name, answer) for answer, _ in ANSWERS[name]["wrong"]]
    for message, (_, fragment) in zip(messages, ANSWERS[name]["wrong"]):
        assert message.startswith("Not yet: ") and fragment in message
    assert len(set(messages)) == len(messages), "different mistakes must get different words"


def test_code_that_raises_is_reported_not_raised():
    assert "ZeroDivisionError" in verdict(next(iter(ANSWERS)), lambda *arguments: 1 / 0)


def test_every_check_has_answers_and_stands_in_a_chapter():
    in_checks = {name for name in vars(checks) if re.match(r"c\d\d_", name)}
    assert in_checks == set(ANSWERS)
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text())["cells"]
        number = path.name[:2]
        used = {tag: [] for tag in ("exercise", "solution")}
        for cell in cells:
            for tag in set(cell["metadata"].get("tags", [])) & set(used):
                used[tag] += re.findall(r"checks\.(c\d\d_\w+)\(", "".join(cell["source"]))
        expected = sorted(name for name in in_checks if name.startswith(f"c{number}_"))
        assert sorted(used["exercise"]) == sorted(used["solution"]) == expected and len(expected) >= 3


def cells_of(path, tag):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code" and tag in cell["metadata"].get("tags", [])]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_chapters_own_stubs_and_solutions(path):
    """The cells themselves, as a learner would run them: every stub is told to go on, every solution passes."""
    tf = runtime.load_tensorflow()
    import keras

    names = {"tf": tf, "keras": keras, "ops": keras.ops, "layers": keras.layers, "np": np, "checks": checks, "data": data}
    names |= {"losses": losses, "metrics": metrics, "models": models, "training": training}
    for tag, expected in (("exercise", "Not yet: "), ("solution", "Correct.")):
        cells = cells_of(path, tag)
        assert 3 <= len(cells) <= 5
        for cell in cells:
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec("".join(cell["source"]), dict(names))
            assert said.getvalue().startswith(expected), said.getvalue()
            stored = "".join("".join(output["text"]) for output in cell["outputs"])
            assert stored.startswith(expected), f"stored in {path.name}: {stored}"
            assert tag == "exercise" or cell["metadata"]["jupyter"]["source_hidden"], "a solution is folded"


def test_checks_take_seconds_and_no_network(monkeypatch):
    def refuse(*arguments, **keywords):
        raise OSError("a check opened a network connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name, answers in ANSWERS.items():
        start = time.process_time()
        assert verdict(name, answers["solution"]) == "Correct.", name
        assert time.process_time() - start < 5, f"{name} is slow"


def test_shape_and_type_faults_get_words_too():
    """The other typical mistakes: nothing returned, text returned, too few arguments taken."""
    for name in ANSWERS:
        for wrong in (lambda *arguments: None, lambda *arguments: "a text", lambda: 0):
            said = verdict(name, wrong)
            assert said.startswith("Not yet: ") and len(said) > 30, said
