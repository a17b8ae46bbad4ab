"""Profiles, folders, precision, and how lightly the package starts."""

import io
import os
import subprocess
import sys
import types
from unittest import mock

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


def test_a_home_that_cannot_be_made_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SRLIB_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(OSError, match="home .*set SRLIB_HOME"):
        runtime.home()


def test_precision_is_restored():
    import keras

    before = keras.config.dtype_policy().name
    with runtime.precision("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == before


FLAGS = {  # as the kernel lists them for real processors, shortened
    "Sapphire Rapids": ("fpu sse2 avx2 avx512f avx512_bf16 amx_bf16 avx512_fp16 amx_tile", "mixed_bfloat16"),
    "Zen 4": ("fpu sse2 avx2 avx512f avx512_bf16 avx512_vnni", "mixed_bfloat16"),
    "Ice Lake": ("fpu sse2 avx2 avx512f avx512_vnni avx512_bitalg", "float32"),
    "Haswell": ("fpu sse2 fma avx2 bmi2", "float32"),
}


@pytest.mark.parametrize("processor", FLAGS)
def test_precision_follows_the_processor(processor, monkeypatch, tmp_path):
    if runtime.gpu_count():
        pytest.skip("a GPU decides here")
    flags, expected = FLAGS[processor]
    (tmp_path / "cpuinfo").write_text(
        f"processor\t: 0\nmodel name\t: {processor}\nflags\t\t: {flags}\nbugs\t\t: none\n"
    )
    monkeypatch.setattr(runtime, "CPU_INFO", tmp_path / "cpuinfo")
    assert (runtime.hardware()[0], runtime.best_precision.__wrapped__()) == (processor, expected)
    monkeypatch.setattr(runtime, "CPU_INFO", tmp_path / "missing")  # nothing is known
    assert runtime.hardware()[0] and runtime.best_precision.__wrapped__() == "float32"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), runtime.replacing(path) as partial:
        partial.write_text("ne")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with runtime.replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def python(code):
    return subprocess.check_output([sys.executable, "-c", code], text=True)


LIGHT = """
import importlib, sys
names = "data photos datasets metrics plotting exercises.c00 commands.handout commands.collect"
for name in names.split():
    importlib.import_module("srlib." + name)
    print(name, "tensorflow" in sys.modules, "keras" in sys.modules)
from srlib import data, datasets, metrics, photos
lr, hr = data.pairs(datasets.load("sample").test)
sr = data.upscale(lr)
print(*metrics.psnr(hr, sr).round(), metrics.ssim(hr, sr).min() > 0, "tensorflow" in sys.modules)
"""


def test_what_needs_no_network_starts_without_tensorflow():
    *modules, numbers = python(LIGHT).splitlines()
    assert all(line.endswith(" False False") for line in modules), modules
    assert numbers.split() == ["25.0", "20.0", "True", "False"]


def test_tensorflow_starts_without_a_word():
    code = "from srlib import runtime; runtime.load_tensorflow()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "" and result.stderr == ""


# --- whatever the machine is like ------------------------------------------------------------------


@pytest.mark.parametrize("value", [" smoke", "smoke\r\n", '"smoke"', "'smoke' ", "“smoke”\xa0"])
def test_blanks_and_quotes_around_a_variable_do_not_count(value, monkeypatch, tmp_path):
    monkeypatch.setenv("SRLIB_PROFILE", value)
    monkeypatch.setenv("SRLIB_CACHE", f" {tmp_path} ")
    assert runtime.profile().name == "smoke" and runtime.cache() == tmp_path


def test_a_user_without_a_home_gets_a_temporary_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("SRLIB_HOME")
    monkeypatch.delenv("SRLIB_CACHE")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(runtime.tempfile, "gettempdir", lambda: str(tmp_path))
    assert runtime.home() == runtime.cache() == tmp_path / "srlib"
    monkeypatch.setenv("SRLIB_HOME", "~/runs")
    with pytest.raises(OSError, match="cannot make the folder ~/runs .*set SRLIB_HOME"):
        runtime.home()


class Console(io.TextIOWrapper):
    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict")

    def text(self):
        self.flush()
        return self.buffer.getvalue().decode("ascii")


def test_no_console_makes_a_message_fail(monkeypatch):
    for encoding, expected in (("ascii", r"a \xb7 \u0416"), ("cp1252", None)):
        monkeypatch.setattr(sys, "stdout", Console(encoding))
        runtime.say("a \xb7 \u0416")
        assert expected is None or sys.stdout.text() == expected + "\n"
    monkeypatch.setattr(sys, "stdout", None)
    runtime.say("nobody hears")
    closed = Console("utf-8")
    closed.close()
    for stream in (closed, types.SimpleNamespace(write=str)):  # as programs without a console put there
        monkeypatch.setattr(sys, "stdout", stream)
        runtime.say("nobody hears")


def test_a_denied_rename_is_tried_again_for_a_while_only():
    denied = PermissionError(13, "a virus scanner")
    assert runtime.patiently(mock.Mock(side_effect=[denied, denied, "done"])) == "done"
    with pytest.raises(PermissionError):
        runtime.patiently(mock.Mock(side_effect=denied), seconds=0.3)
    with pytest.raises(FileNotFoundError):
        runtime.patiently(lambda: open("/nowhere/at/all"))


KERAS = """
import json, os, pathlib, sys
home = pathlib.Path(sys.argv[1])
old = {"backend": "theano", "image_data_format": "channels_first", "floatx": "float16"}
(home / "keras.json").write_text(json.dumps(old))
os.environ.update(KERAS_HOME=str(home), KERAS_BACKEND="jax", TF_USE_LEGACY_KERAS="1")
for stream in sys.argv[2:]:
    os.close(2) if stream == "2" else setattr(sys, stream, None)
import numpy as np
from srlib import inference, runtime
runtime.load_tensorflow().keras.layers.ReLU()  # the exercises' Keras is ours
(home / "shape").write_text(str(inference.enlarge(np.zeros((200, 12, 3), "uint8"), "facesr-light", tile=96).shape))
"""


@pytest.mark.slow
@pytest.mark.parametrize("streams", [(), ("stdout", "stderr", "2")])
def test_settings_left_by_another_course_and_no_console(streams, tmp_path):
    run = subprocess.run([sys.executable, "-c", KERAS, str(tmp_path), *streams], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-1000:]
    assert (tmp_path / "shape").read_text() == "(800, 48, 3)"


def test_a_gpu_that_tensorflow_does_not_see_is_named(monkeypatch, capsys):
    """By its tool, or by its device, in a container without the tool; not where it is switched off on purpose."""
    monkeypatch.setattr(runtime, "gpu_count", lambda: 0)
    for tool, device, visible, said in ((1, 0, "0", True), (0, 1, "0", True), (1, 1, "-1", False), (1, 1, "", False)):
        monkeypatch.setattr(runtime.shutil, "which", lambda name: tool and f"/usr/bin/{name}")
        monkeypatch.setattr(runtime.os.path, "exists", lambda path: path == "/dev/nvidiactl" and device)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        runtime.setup()
        assert ("pip install 'tensorflow[and-cuda]'" in capsys.readouterr().out) == said


@pytest.mark.parametrize("value, calls", [("Agg", 1), ("svg", 1), ("TkAgg", 1), ("module://matplotlib_inline", 0)])
def test_a_backend_that_a_shell_has_set_hides_no_figure(value, calls, monkeypatch):
    """Jupyter sets MPLBACKEND to a module of its own, unless it has a value already."""
    magic = []
    shell = types.SimpleNamespace(kernel=True, run_line_magic=lambda *words: magic.append(words))
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setenv("MPLBACKEND", value)
    monkeypatch.setattr("matplotlib.get_backend", lambda: value)
    runtime.setup()
    assert magic == [("matplotlib", "inline")] * calls
