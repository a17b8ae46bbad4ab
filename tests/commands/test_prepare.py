"""`srlib prepare`: makes a set, verifies it, names what is wrong with it."""

import pytest
from faces import flip_bit, make_celeba

from srlib import commands


def test_the_command_makes_and_verifies_a_set(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SRLIB_CACHE", str(tmp_path / "cache"))
    root, folder = make_celeba(tmp_path / "set"), str(tmp_path / "prepared")
    for words in ([str(root), folder, "--train", "9", "--held-out", "3"], [folder]):
        assert not commands.main(["prepare", *words])
        said = capsys.readouterr().out.splitlines()[-1]
        assert said.startswith("1 MB verified. Terms of use: CelebA (Liu") and "non-commercial research only" in said
    flip_bit(tmp_path / "prepared" / "val.npy")
    assert commands.main(["prepare", folder]) == 1
    assert "val.npy is damaged" in capsys.readouterr().out
    assert commands.main(["prepare", str(root)]) == 1
    assert "is no prepared set; run `srlib prepare SOURCE" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        commands.main(["prepare", folder, "--train", "9"])
    assert "name the FOLDER, too" in capsys.readouterr().err
