"""Every check: solutions and other right answers pass, each typical mistake gets its sentence, the name is printed."""

import contextlib
import fractions
import functools
import importlib
import io
import json
import pathlib
import re

import numpy as np
import pytest

from srlib import exercises, runtime

tf = runtime.load_tensorflow()

CHAPTERS = {path.name[:2]: path for path in sorted(pathlib.Path(__file__).parents[2].glob("notebooks/*.ipynb"))}
NAMES = [name for number in CHAPTERS for name in exercises.names(f"c{number}")]
ANSWERS = [row for number in CHAPTERS for row in importlib.import_module(f"answers_{number}").ANSWERS]


def check(name):
    chapter, _, name = name.partition(".")
    return getattr(importlib.import_module(f"srlib.exercises.{chapter}"), name)


def verdict(name, answer):
    """What the learner reads behind the name of the check, which is one line."""
    with contextlib.redirect_stdout(io.StringIO()) as said, np.errstate(all="ignore"):
        check(name)(answer)
    (line,) = said.getvalue().splitlines()
    assert line == f"{name}: Correct." or line.startswith(f"{name}: Not yet: ")
    return line.partition(": ")[2]


def imports(source):
    """The lines of a cell that import something."""
    return "\n".join(re.findall(r"^(?:import|from) .+|^tf = .+", source, re.M))


@functools.cache
def run(number):
    """Run a chapter's exercises and folded solutions; returns the lines said by each kind, and the solutions.

    Before them, only the chapter's imports and its taught cells run.
    """
    scope, cells = {}, json.loads(CHAPTERS[number].read_text("utf-8"))["cells"]
    lines, solutions = {"exercise": [], "solution": []}, {}
    for cell in cells:
        source, tags = "".join(cell["source"]), cell["metadata"].get("tags", [])
        folded = re.search(r"<details><summary>Solution</summary>\n\n```python\n(.+?)\n```", source, re.S)
        if cell["cell_type"] == "code":
            exec(source if "taught" in tags else imports(source), scope)
        if cell["cell_type"] == "code" and "exercise" in tags or cell["cell_type"] == "markdown" and folded:
            source = folded[1] if folded else source
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(source, scope)
            said = [line for line in out.getvalue().splitlines() if line.startswith(f"c{number}.")]
            lines["solution" if folded else "exercise"] += said
            found = re.findall(rf"\b(c{number}\.\w+)\((\w+)\)", source)
            solutions |= {check: scope[function] for check, function in found}
    return lines, solutions


@pytest.mark.parametrize("number", CHAPTERS)
def test_the_chapters_own_stubs_and_solutions(number):
    lines, names = run(number)[0], exercises.names(f"c{number}")
    assert lines["solution"] == [f"{name}: Correct." for name in names]
    assert [line.partition(": Not yet: ")[0] for line in lines["exercise"]] == names
    assert all("dots" in line for line in lines["exercise"])


@pytest.mark.parametrize(("name", "answer", "said"), ANSWERS, ids=[f"{i}-{row[0]}" for i, row in enumerate(ANSWERS)])
def test_the_verdict(name, answer, said):
    assert said in verdict(name, answer)


@pytest.mark.parametrize("name", NAMES)
def test_every_mistake_in_the_tables_is_told_apart(name, monkeypatch):
    """The author of a typical mistake reads the sentence beside it, and no other one."""

    def grade(answer, right, mistakes, *cases, **how):
        exercises.grade(answer, right, mistakes, *cases, **how)
        for wrong, sentence in mistakes:
            with np.errstate(all="ignore"):
                for case in cases:
                    wrong(*case)  # none may raise
                with pytest.raises(exercises.Wrong) as fault:
                    exercises.grade(wrong, right, mistakes, *cases, **how)
            assert str(fault.value).startswith(f"{sentence} (")

    monkeypatch.setattr(importlib.import_module(f"srlib.exercises.{name[:3]}"), "grade", grade, raising=False)
    check(name).verify(run(name[1:3])[1][name])


KINDS = {
    "array": np.asarray,
    "tensor": tf.constant,
    "float32": np.float32,
    "list": lambda value: np.asarray(value).tolist(),
    "fractions": np.vectorize(lambda x: fractions.Fraction(float(x)), otypes=[object]),
}
WHOLE = {"c06.rows"}  # integers are asked for
OTHERS = {
    "c01.noisy_batch",
    "c01.split",
    "c02.sees",
    "c03.discriminator_loss",
    "c03.generator_step",
    "c04.diagnose",
    "c04.train_step",
    "c06.unequal",
}  # no array of numbers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in OTHERS])
def test_numbers_of_any_type_are_right(name, kind):
    if name not in WHOLE or kind in ("array", "tensor"):
        solution = run(name[1:3])[1][name]
        assert verdict(name, lambda *given: KINDS[kind](solution(*given))) == "Correct."


@pytest.mark.parametrize("name", NAMES)
def test_answers_that_are_no_answers(name):
    for wrong in (
        lambda *given: None,
        lambda *given: ...,
        lambda *given: "a text",
        lambda *given: (1, (2, 3)),
        lambda: 0,
    ):
        assert len(verdict(name, wrong)) > 30


def test_an_error_in_the_learners_code_is_one_line():
    def answer(factor):
        raise ValueError("first\nsecond\r\n\x0bthird\u2028fourth")

    assert verdict("c00.share_lost", answer) == "Not yet: your code raised ValueError: first second third fourth"
    with pytest.raises(ValueError, match="second"):
        check("c00.share_lost").verify(answer)


def test_a_chapter_without_checks():
    with pytest.raises(ImportError):
        exercises.names("c99")
