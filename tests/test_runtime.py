"""Profiles, folders, precision, and how lightly the package starts."""

import subprocess
import sys

import pytest

from srlib import runtime


def test_an_unknown_profile_names_the_choices(monkeypatch):
    monkeypatch.setenv("SRLIB_PROFILE", "fast")
    with pytest.raises(ValueError, match="'fast'.*smoke, quick, full"):
        runtime.profile()


def test_data_defaults_follow_the_profile(monkeypatch):
    monkeypatch.delenv("SRLIB_DATA")
    assert runtime.data_source() == "sample"
    monkeypatch.setenv("SRLIB_PROFILE", "full")
    assert runtime.data_source() == "celeba"


def test_home_is_one_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("SRLIB_HOME", str(tmp_path / "drive"))
    assert runtime.home() == tmp_path / "drive" and runtime.home().is_dir()


def test_a_home_that_cannot_be_made_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SRLIB_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(OSError, match="home .*set SRLIB_HOME"):
        runtime.home()


def test_an_unknown_precision_names_the_choices():
    with pytest.raises(ValueError, match="'float16'.*mixed_bfloat16"):
        with runtime.precision("float16"):
            pass


def test_precision_is_restored():
    import keras

    before = keras.config.dtype_policy().name
    with runtime.precision("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == before


def test_setup_says_where_it_runs(capsys):
    assert runtime.setup().name == "smoke"
    said = capsys.readouterr().out
    assert "profile: smoke" in said and "data: sample" in said and "precision" in said


def test_light_parts_do_not_import_tensorflow():
    code = "import sys; from srlib import data, metrics, pretrained, checks; print('tensorflow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_tensorflow_starts_without_a_word():
    code = "from srlib import runtime; runtime.load_tensorflow()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "" and result.stderr == ""
