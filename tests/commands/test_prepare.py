"""`srlib prepare`: makes a set, or says what is wrong."""

from faces import make_celeba

from srlib import commands, datasets


def test_the_command_makes_a_set(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SRLIB_CACHE", str(tmp_path / "cache"))
    words = ["prepare", str(make_celeba(tmp_path / "set")), str(tmp_path / "prepared"), "--train", "9"]
    assert not commands.main([*words, "--held-out", "3"])
    said = capsys.readouterr().out.splitlines()[-1]
    assert "prepared. Terms of use: CelebA (Liu" in said and "non-commercial research only" in said
    assert [len(names) for names in datasets.verify(tmp_path / "prepared")["names"].values()] == [9, 3, 3]
    assert commands.main([*words, "--held-out", "0"]) == 1
    assert "held_out 0; expected at least 1" in capsys.readouterr().out
