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
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: {processor}\nflags\t\t: {flags}\nbugs\t\t: none\n")
    monkeypatch.setattr(runtime, "CPU_INFO", tmp_path / "cpuinfo")
    assert runtime.best_precision.__wrapped__() == expected
    assert runtime.processor() == processor


def test_precision_is_float32_where_nothing_is_known(monkeypatch, tmp_path):
    if runtime.gpu_count():
        pytest.skip("a GPU decides here")
    monkeypatch.setattr(runtime, "CPU_INFO", tmp_path / "missing")
    assert runtime.best_precision.__wrapped__() == "float32"
    assert runtime.processor()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), runtime.replacing(path, "w") as file:
        file.write("ne" + str(1 // 0))
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with runtime.replacing(path, "w") as file:
        file.write("new\n")
        assert path.read_text() == "old"
    assert path.read_bytes() == b"new\n" and list(tmp_path.iterdir()) == [path]


def python(code):
    return subprocess.check_output([sys.executable, "-c", code], text=True).split()


LIGHT = "srlib srlib.runtime srlib.data srlib.metrics srlib.pretrained srlib.plotting srlib.checks srlib.teaching"


@pytest.mark.parametrize("module", LIGHT.split())
def test_light_parts_do_not_import_tensorflow(module):
    assert python(f"import sys, {module}; print('tensorflow' in sys.modules, 'keras' in sys.modules)") == ["False", "False"]


def test_a_psnr_needs_no_tensorflow():
    code = """
import sys
from srlib import data, metrics
lr, hr = data.pairs(data.portraits())
print(*metrics.psnr(hr, data.upscale(lr)).round(), *metrics.ssim(hr, data.upscale(lr)) > 0, "tensorflow" in sys.modules)
"""
    assert python(code) == ["25.0", "20.0", "True", "True", "False"]


def test_srlib_adds_little_to_tensorflows_start():
    """CPU time, the better of two processes: a busy machine cannot spoil it much."""
    code = """
import time
import tensorflow
before = time.process_time()
from srlib import data, losses, metrics, models, pretrained, training
print(time.process_time() - before)
"""
    seconds = min(float(*python(code)) for _ in range(2))
    assert seconds < 0.3, f"srlib adds {seconds:.2f} s of CPU time to TensorFlow's import"


def test_tensorflow_starts_without_a_word():
    code = "from srlib import runtime; runtime.load_tensorflow()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "" and result.stderr == ""
