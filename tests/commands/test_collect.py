"""Submissions as they come: a verdict belongs to its check, everybody is in the table, no file stops the class."""

import csv
import io
import json
import os
import pathlib
import sys
import tracemalloc
import zipfile

import pytest

from srlib import commands, exercises
from srlib.commands import collect

RIGHT, WRONG = "c00.blend: Correct.\n", "c00.blend: Not yet: your code raised ValueError: c00.share_lost: Correct.\n"
OPEN = {"c00.share_lost": "not run", "c00.blend": "not run", "c00.contradiction": "not run"}


def cell(source, said=(), **more):
    """A code cell that wrote something; with `more`, another one."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": said}]
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": outputs, "execution_count": 1} | more


def book(*cells, **more):
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": list(cells)} | more


@pytest.mark.parametrize(
    "source, said, mark",
    [
        ("c00.blend(blend)", RIGHT, "correct"),
        ("c00.blend(blend)", WRONG, "not yet"),
        ("c00.blend(blend)", "", "not run"),
        ("if True:\n    c00.blend(blend)", RIGHT, "correct"),
        ("ok = c00.blend (blend); c00.share_lost(s)", RIGHT, "correct"),
        (["%time c00.blend(\n", "    blend)"], [RIGHT.strip(), "\r\n", "CPU times: user 3 us"], "correct"),
        ("for f in (a, b):\n    c00.blend(f)", WRONG + RIGHT + WRONG, "correct"),
        ("print('Correct.')\nc00.blend(blend)", "Correct.\nNot yet: mine\nstep 1\rstep 2\r" + WRONG, "not yet"),
        ("print(\"it's\")  # isn't\nc00.blend(blend)", "it's\n" + RIGHT, "correct"),
        ("# c00.blend(blend)", RIGHT, "unclear"),
        ("print('c00.blend: Correct. c00.blend(')", RIGHT, "unclear"),
        ("'''\nc00.blend(f)\n'''\ncheck(blend)", RIGHT, "unclear"),
        ("c00.share_lost(share_lost)", WRONG, "unclear"),
        ("c00.blend(blend)", "c00.blend: Correct. Really\nc00.blends: Correct.", "not run"),
        ("print(1, end='')\nc00.blend(blend)", "1" + RIGHT.replace("c00", " c00"), "correct"),
        ("c00.blend(blend)", "100%|##| 3/3 " + WRONG, "not yet"),
        ("c00.blend(blend); '" + "\\'" * 100_000, RIGHT, "correct"),
    ],
)
def test_a_line_counts_where_the_check_is_called(source, said, mark):
    assert collect.verdicts(book(cell(source, said))) == OPEN | {"c00.blend": mark}
    assert collect.verdicts(book(cell("c00.blend(f)", RIGHT), cell(source, said)))["c00.blend"] == "correct"


def test_the_chapter_is_named_by_a_call_the_title_or_the_file():
    title = [cell(text, cell_type="markdown") for text in ("# By Ada", "## 02 of them", "# 00 · Start", "# 03 ends")]
    assert collect.verdicts(book(*title), "ada 03.ipynb") == collect.verdicts(book(), "ada/b_00_x.ipynb") == OPEN
    assert not collect.verdicts(book(*title[:2]), "student12_0123_2024-03-05.ipynb")
    assert [*collect.verdicts(book(cell("c99.x(f); c06.rows(f)"), cell("", RIGHT)))][2:4] == [[*OPEN][2], "c06.rows"]


def archive(files, method=zipfile.ZIP_DEFLATED):
    """The bytes of an archive."""
    with zipfile.ZipFile(data := io.BytesIO(), "w", method) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return data.getvalue()


def test_everybody_is_listed_and_no_file_stops_the_class(tmp_path, monkeypatch):
    done = json.dumps(book(cell("c00.blend(blend)\r\n", RIGHT), cell("é ✓")), ensure_ascii=False)
    answers = [
        cell(text, metadata={"tags": ["answer"], "srlib": {"question": question}})
        for text, question in [("@SUM(A1)", "00.4"), ("- 学生 \ud800", "00.4"), ("\t=1", "c00.blend"), ("", None)]
    ]
    zeros, size = bytes(30_000_000), (30_000_000).to_bytes(4, "little")
    files = {
        "=ada.ipynb": json.dumps(book(cell("c00.blend(f)", [RIGHT]), *answers)),
        "DAN.IPYNB": done.replace(", ", ",\r\n"),
        "bob.ipynb.txt": done.encode("utf-8-sig"),
        "cem/00.ipynb.json": done.encode("utf-16"),
        "cem/._00.ipynb": b"\0\5\x16\7",
        "cem/01.partial.ipynb": "",
        "cem/me.jpg": b"",
        "cem/work.PDF": b"",
        "eve.zip": archive(
            {"0.ipynb": done, "./a/1.ipynb": done[:9], "/b.zip": "", "../c.png": "", "./__MACOSX/._0.ipynb": ""}
        ),
        "fay.ipynb.html": done,
        "gus/Thumbs.db": b"",
        "gus/.ipynb_checkpoints/00-checkpoint.ipynb": done,
        "hal.zip": "<html>",
        "ida.zip": archive({"00.ipynb": zeros}, zipfile.ZIP_BZIP2),
        "jim.zip": archive({"00.ipynb": zeros}),
        "kim.zip": archive({"00.ipynb": zeros}).replace(size, (9).to_bytes(4, "little")),
        "lea.ipynb": "",
        "max.ipynb": "[" * 100_000,
        "ned.ipynb": '{"cells": "abc"}',
        "old.ipynb": '{"nbformat": 3, "worksheets": []}',
        "pam 01.ipynb": json.dumps(
            book(
                cell("", outputs=None),
                cell(
                    "",
                    outputs=[{"data": {"image/png": "iVBO/w+\n" * 500_000, "text/html": '<a b="' + "A" * 5000 + '">'}}],
                ),
                metadata={"widgets": {}},
            )
        ),
        "学生.ipynb": done,
    }
    for name, content in files.items():
        (tmp_path / "class" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "class" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "class" / "loop").symlink_to(tmp_path / "class")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "00.ipynb").write_text(done, "utf-8")
    (tmp_path / "class" / "linked").symlink_to(tmp_path / "elsewhere")
    getattr(os, "mkfifo", pathlib.Path.touch)(tmp_path / "class" / "nobody writes.ipynb")
    monkeypatch.setattr(collect, "LIMIT", 5_000_000)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed := io.BytesIO(), "ascii"))
    tracemalloc.start()
    assert not commands.main(["collect", str(tmp_path / "class"), "--csv", str(tmp_path / "table.csv")])
    assert tracemalloc.get_traced_memory()[1] < 20e6, "no archive is unpacked whole"
    tracemalloc.stop()
    table = csv.reader(io.StringIO((tmp_path / "table.csv").read_bytes().decode(), newline=""))
    assert next(table) == [
        "\ufefffile",
        "note",
        *OPEN,
        *exercises.names("c01"),
        *["answer 00.4", "answer c00.blend", "answer None"],
    ]
    others = "|" * len(exercises.names("c01"))
    assert "|".join(next(table)) == (
        f"'=ada.ipynb|1 of 3 correct|not run|correct|not run{others}|'@SUM(A1)\n\n- 学生 \\ud800|'\t=1|"
    )
    other, damaged = "not read: no notebook", "not read: damaged, or not what its name says ("
    expected = [
        ("DAN.IPYNB", "1 of 3 correct"),
        ("bob.ipynb.txt", "1 of 3 correct"),
        ("cem/00.ipynb.json", "1 of 3 correct"),
        ("cem/01.partial.ipynb", f"{damaged}JSONDecodeError"),
        ("cem/me.jpg", other),
        ("cem/work.PDF", other),
        ("eve.zip/0.ipynb", "1 of 3 correct"),
        ("eve.zip/a/1.ipynb", f"{damaged}JSONDecodeError"),
        ("eve.zip/b.zip", other),
        ("eve.zip/c.png", other),
        ("fay.ipynb.html", other),
        ("gus", "not read: nothing in it"),
        ("hal.zip", f"{damaged}BadZipFile"),
        ("ida.zip", "not read: unpacked, it is larger than"),
        ("jim.zip", "not read: unpacked, it is larger than"),
        ("kim.zip/00.ipynb", f"{damaged}BadZipFile"),
        ("lea.ipynb", f"{damaged}JSONDecodeError"),
        ("linked/00.ipynb", "1 of 3 correct"),
        ("loop", other),
        ("max.ipynb", f"{damaged}RecursionError"),
        ("ned.ipynb", f"{damaged}TypeError"),
        ("nobody writes.ipynb", other if hasattr(os, "mkfifo") else damaged),
        ("old.ipynb", f"{damaged}KeyError"),
        ("pam 01.ipynb", f"0 of {len(others)} correct"),
        ("学生.ipynb", "1 of 3 correct"),
    ]
    assert [(row[0], row[1][: len(note)]) for row, (_, note) in zip(table, expected, strict=True)] == expected
    line = b".ipynb: 1 of 3 correct; c00.share_lost not run; c00.contradiction not run"
    assert printed.getvalue().splitlines()[:: len(expected)] == [b"=ada" + line, b"\\u5b66\\u751f" + line]


def test_a_full_disk_leaves_the_older_table_whole(tmp_path, capsys):
    resource = pytest.importorskip("resource")
    (tmp_path / "0.ipynb").write_text(json.dumps(book(cell("x" * 9_000, metadata={"tags": ["answer"]}))))
    (tmp_path / "table.csv").write_text("older")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        assert commands.main(["collect", str(tmp_path), "--csv", str(tmp_path / "table.csv")]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "table.csv").read_text() == "older" and "File too large" in capsys.readouterr().out
