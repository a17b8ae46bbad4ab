"""Fast without paying for it: bfloat16's numbers, memory and progress of large photos, and how the benchmark counts."""

import dataclasses
import math
import os
import subprocess
import sys
import time
import types

import benchmark
import numpy as np
import pytest

from srlib import data, metrics, models, pretrained, runtime, training

tf = runtime.load_tensorflow()
import keras  # noqa: E402


# --- precision -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs():
    """The portraits, 16 crops of a photo, and 20 of scenes: (lr, hr)."""
    limits = dataclasses.replace(runtime.PROFILES["smoke"], train_images=20, held_out_images=16)
    photos = data.sample(limits)
    return data.pairs(np.concatenate([photos.test, photos.val, photos.train]))


@pytest.mark.parametrize("name", pretrained.names())
def test_bfloat16_has_float32s_numbers(name, pairs):
    lr, hr = pairs
    exact, half = (metrics.psnr(hr, training.predict(pretrained.load(name, policy), lr)) for policy in runtime.POLICIES[:2])
    difference = half - exact
    assert np.any(difference != 0), "nothing ran in bfloat16"
    assert abs(difference.mean()) <= 0.02 and np.all(np.abs(difference[:2]) <= 0.02), (difference.mean(), difference[:2])


def test_the_chosen_precision_is_the_faster_one():
    """The body of our networks, in CPU time, in turns: a busy machine slows both."""
    if runtime.gpu_count():
        pytest.skip("CPU time says nothing about a GPU")
    images, seconds = np.random.default_rng(0).random((8, 32, 32, 64), dtype="float32"), {}
    cases = {}
    for policy in ("float32", "mixed_bfloat16"):
        with runtime.precision(policy):
            inputs = keras.Input((32, 32, 64))
            x = inputs
            for _ in range(6):
                x = models.conv(64, activation="relu")(x)
            cases[policy] = tf.function(keras.Model(inputs, x))
            cases[policy](images)
    for _ in range(5):
        for policy, run in cases.items():
            start = time.process_time()
            run(images)
            seconds.setdefault(policy, []).append(time.process_time() - start)
    assert min(seconds, key=lambda policy: min(seconds[policy])) == runtime.best_precision(), seconds


# --- large photos ----------------------------------------------------------------------------------

MEMORY = """
import numpy as np
from PIL import Image
from srlib import data, pretrained, runtime
photo = np.asarray(Image.fromarray(data.portraits()[1]).resize((1000, 750), Image.Resampling.BICUBIC))
pretrained.enlarge(photo[:300, :300], "facesr-light", tile=100, verbose=0)  # 3x3 tiles: the one in the middle is the largest
peaks = [runtime.peak_memory()]
for tile in (100, 1000):
    pretrained.enlarge(photo, "facesr-light", tile=tile)
    peaks.append(runtime.peak_memory())
print(*peaks)
"""


def test_memory_does_not_grow_with_the_photo():
    if np.isnan(runtime.peak_memory()):
        pytest.skip("this system does not tell")
    *lines, last = subprocess.check_output([sys.executable, "-c", MEMORY], text=True).splitlines()
    small, tiled, whole = map(float, last.split())
    result = 16 * 1000 * 750 * 3 / 1e6
    assert tiled - small < result + 40, "more than the result: tiles are kept"
    assert whole - tiled > 150, "the photo in one piece needs no more memory: this test measures nothing"
    assert len(lines) == 10 and lines[-1].startswith("tile  80/80") and "left" in lines[0]


def test_enlarge_says_how_far_it_is(capsys, monkeypatch):
    photo = np.ascontiguousarray(data.portraits()[1][:24, :40])
    enlarge = lambda **options: (pretrained.enlarge(photo, "facesr-light", **options), capsys.readouterr().out)[1]  # noqa: E731
    assert enlarge(tile=16, verbose=0) == "" and enlarge() == ""
    assert [line.split()[1] for line in enlarge(tile=16).splitlines()] == [f"{n}/6" for n in range(1, 7)]
    assert runtime.best_precision() in enlarge(tile=16, verbose=2)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "6/6" in enlarge(tile=16) and "tile   1/6" not in enlarge(tile=16)
    with pytest.raises(ValueError, match="verbose is 3"):
        pretrained.enlarge(photo, "facesr-light", verbose=3)


# --- the benchmark ---------------------------------------------------------------------------------


def graph_gflop(run, *arguments):
    """Billions of operations of the convolutions that a `tf.function` executes, from the nodes its results depend on."""
    graph = run.get_concrete_function(*arguments).graph
    waiting, seen, total = [*graph.control_outputs, *(t.op for t in graph.outputs)], set(), 0
    while waiting:
        op = waiting.pop()
        if op.name in seen:
            continue
        seen.add(op.name)
        waiting += [*op.control_inputs, *(t.op for t in op.inputs)]
        if op.type == "Conv2D":
            positions, kernel = op.outputs[0].shape, op.inputs[1].shape
        elif op.type == "Conv2DBackpropInput":
            positions, kernel = op.inputs[2].shape, op.inputs[1].shape
        elif op.type == "Conv2DBackpropFilter":
            positions, kernel = op.inputs[2].shape, op.outputs[0].shape
        else:
            continue
        total += 2 * math.prod(positions[:3]) * math.prod(kernel)
    return total / 1e9


def small_features():
    inputs = keras.Input((None, None, 3))
    features = keras.Model(inputs, models.conv(16)(models.conv(8)(inputs)))
    features.trainable = False
    return features


@pytest.mark.parametrize("adversarial", [False, True])
def test_a_steps_operations_are_those_of_its_graph(adversarial):
    generator = models.facesr(blocks=4, filters=32, tail=())
    if adversarial:
        trainer = training.GANTrainer(generator, models.patch_discriminator(), small_features(), window_size=128)
        trainer.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
        trainer.window = lambda *images: images  # the whole image: a cut at a random place has no size before it runs
    else:
        trainer = training.PixelTrainer(generator)
        trainer.compile(keras.optimizers.Adam())
    batch = tf.zeros((2, 32, 32, 3)), tf.zeros((2, 128, 128, 3))
    counted, executed = 2 * benchmark.step_gflop(trainer), graph_gflop(tf.function(trainer.train_step), batch)
    # first layers need no gradient of their input, and the bicubic skip is not counted
    assert 0.93 * counted < executed < 1.05 * counted, (counted, executed)


def test_the_plain_loop_trains_both_networks():
    keras.utils.set_random_seed(5)  # with some first weights the discriminator gains faster than the generator
    generator, discriminator = models.facesr(blocks=1, filters=8, tail=()), models.srgan_discriminator(filters=4)
    features = small_features()
    before = [[w.numpy().copy() for w in network.weights] for network in (generator, discriminator)]
    lr, hr = data.pairs(data.portraits())
    step = benchmark.plain_loop(generator, discriminator, features)
    first = [[float(loss) for loss in step(lr, hr)] for _ in range(15)]
    assert np.all(np.isfinite(first)) and first[-1][0] < first[0][0] and first[-1][1] < first[0][1]
    for network, old in zip((generator, discriminator), before):
        moved = [np.abs(w.numpy() - o).max() > 0 for w, o in zip(network.weights, old) if w.trainable]
        assert all(moved)


def test_the_published_discriminator_is_the_papers():
    parameters = benchmark.published_discriminator().count_params()
    assert 38e6 < parameters < 40e6 and parameters > 7 * models.srgan_discriminator().count_params()


def test_loud_windows_are_measured_again(monkeypatch):
    others = iter([0.5, 0.0, 0.02, 0.5] + [0.01] * 20)
    monkeypatch.setattr(benchmark, "window", lambda run, seconds: benchmark.Window(1.0, 1.0, next(others)))
    options = types.SimpleNamespace(repeats=3, seconds=0.0, warmups=1)
    calls = []
    found = benchmark.measure({"case": lambda: calls.append(1)}, options)["case"]
    assert len(calls) == 1 and [w.others for w in found] == [0.0, 0.01, 0.02]


def test_a_row_counts_images_and_operations():
    windows = [benchmark.Window(seconds, 2 * seconds, 0.0) for seconds in (0.5, 1.0, 2.0, 1.0)] + [benchmark.Window(1.0, 2.0, 0.3)]
    roof = {("matmul", "float32"): 60.0, ("conv", "float32"): 50.0}
    line = benchmark.row("networks", "x", windows, 16, "images/s", "float32", 30.0, roof)
    assert (line["low"], line["median"], line["high"]) == (16, 16, 16) and line["cpu_ms"] == 125
    assert (line["gflops"], line["of_matmul"], line["of_conv"]) == (30, 0.5, 0.6)
    table = benchmark.markdown([line]).splitlines()
    assert "50%" in table[-1] and "*" in table[-1] and "note" not in table[0]
    assert benchmark.row("inference", "x", windows, 20, "ms/face")["median"] == 50


def test_the_machines_own_work_is_not_noise():
    def busy(seconds=0.5):
        end = time.process_time() + seconds
        while time.process_time() < end:
            math.sqrt(2.0)

    found = benchmark.window(busy, 0.0)
    assert found.cpu == pytest.approx(0.5, abs=0.1) and found.wall > 0.4
    cores = found.others + found.cpu / found.wall  # of all processes together
    assert math.isnan(cores) or cores < os.cpu_count() + 0.2


def test_the_first_picture_is_a_restored_face():
    code = [cell.source for cell in benchmark.quickstart_cells().cells if cell.cell_type == "code"]
    assert "runtime.setup" in code[0] and "plotting.strip" in code[-1] and any("pretrained.load(" in source for source in code)
    assert sum("pretrained.load(" in source for source in code) == 1
