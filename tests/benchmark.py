"""How fast is it here? The roof of the machine first, then every part of the course as a share of it.

    python tests/benchmark.py                       # everything; about half an hour on two idle cores
    python tests/benchmark.py --quick               # one short call a row: does it run?
    python tests/benchmark.py --only roof loop      # parts, see PARTS

Prints Markdown and writes a CSV file. No test looks at these numbers: they are facts about one machine.

How it measures. A row is the median over windows; a window repeats one call for a second or so. The first two calls
compile and are not counted. Rows that are compared take turns, window by window, so that a slow minute hits all of
them. What other processes do meanwhile is read from the kernel's counters: a window in which they took more than
`NOISE` of a core is measured again, up to three times as often as was asked; if it stays loud, the quietest windows
are taken and the row is marked with a `*`. Spread is the interquartile range.

How it counts. Operations are those of `models.flops`: convolutions and dense layers. A training step of a network
costs three forward passes (forward, gradient of the input, gradient of the weights). In an adversarial step the
discriminator D costs seven: two forward, four for its own gradients (photos and results), one to lead the
generator's gradient through; the frozen VGG costs three: two forward, one backward. D and VGG are counted at the size
of the window they see. Adam, the EMA, normalisation and activations are time, but not counted as work.
"""

import argparse
import contextlib
import csv
import dataclasses
import functools
import gc
import importlib.metadata
import math
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from unittest import mock

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from srlib import data, runtime  # noqa: E402

POLICIES = ("float32", "mixed_bfloat16")
NOISE = 0.1  # of a core: what others may take during a window
COLUMNS = {  # of the CSV file: the title in the Markdown tables
    "part": "", "case": "", "precision": "precision", "median": "median", "unit": "", "low": "", "high": "",
    "gflops": "GFLOP/s", "of_matmul": "of matmul roof", "of_conv": "of conv roof",
    "cpu_ms": "CPU ms", "windows": "", "others": "", "note": "note",
}  # fmt: skip


# --- time ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Window:
    """Seconds of wall and of CPU time per call, and the cores that other processes took meanwhile (NaN: unknown)."""

    wall: float
    cpu: float
    others: float


def own_cpu():
    """CPU seconds of this process and of the children that have ended."""
    return time.process_time() + sum(os.times()[2:4])


def machine_cpu():
    """CPU seconds of everything on this machine since it started, time stolen by neighbours included; NaN if unknown."""
    try:
        fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return math.nan
    user, nice, system, _, _, interrupts, soft, stolen = map(int, fields[:8])
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def window(run, seconds):
    """Repeat `run` for so many seconds, at least once."""
    machine, cpu, wall, calls = machine_cpu(), own_cpu(), time.perf_counter(), 0
    while not calls or time.perf_counter() - wall < seconds:
        run()
        calls += 1
    wall, cpu, machine = time.perf_counter() - wall, own_cpu() - cpu, machine_cpu() - machine
    return Window(wall / calls, cpu / calls, max(machine - cpu, 0.0) / wall)  # NaN stays NaN


def measure(cases, options, warmups=None, seconds=None):
    """Quiet windows of every case, taken in turn: a dict name -> list of `Window`. cases: dict name -> function."""
    for run in cases.values():
        for _ in range(options.warmups if warmups is None else warmups):
            run()
    found = {name: [] for name in cases}
    for _ in range(3 * options.repeats):
        for name, run in cases.items():
            if sum(not w.others > NOISE for w in found[name]) < options.repeats:
                found[name].append(window(run, options.seconds if seconds is None else seconds))
    quietest = functools.partial(sorted, key=lambda w: 0 if math.isnan(w.others) else w.others)
    return {name: quietest(windows)[: options.repeats] for name, windows in found.items()}


def row(part, case, windows, work=1.0, unit="s", precision="", gflop=0.0, roof=None, note=""):
    """A row of the tables. work: images (or other units) a call; with `unit` "s" or "ms ..." it is time per unit of work.

    gflop: billions of operations a call. roof: dict (kind, precision) -> GFLOP/s.
    """
    wall = [w.wall for w in windows]
    quartiles = statistics.quantiles(wall, n=4, method="inclusive") if len(wall) > 1 else [wall[0]] * 3
    if unit.endswith("/s"):
        high, median, low = (work / seconds for seconds in quartiles)
    else:
        low, median, high = (seconds / work * (1000 if unit.startswith("ms") else 1) for seconds in quartiles)
    fields = {
        "part": part, "case": case, "precision": precision, "median": median, "unit": unit, "low": low, "high": high,
        "cpu_ms": 1000 * statistics.median(w.cpu for w in windows) / work, "windows": len(windows),
        "others": max(w.others for w in windows), "note": note,
    }  # fmt: skip
    if gflop:
        fields["gflops"] = gflop / quartiles[1]
        for kind in ("matmul", "conv"):
            if roof:
                fields[f"of_{kind}"] = fields["gflops"] / roof[kind, precision]
    return {name: fields.get(name, "") for name in COLUMNS}


# --- the parts -------------------------------------------------------------------------------------


@functools.cache
def faces(count):
    """Real pixels for a batch: the bundled portraits and crops of the sample photos, (lr, hr) as tensors."""
    limits = runtime.Profile("benchmark", max(count - 2, 1), 1, 1, 1, 1, 1, 1, 1)
    pixels = np.concatenate([data.portraits(), data.sample(limits).train])[:count]
    return tuple(map(runtime.load_tensorflow().constant, data.pairs(pixels)))


def roof_rows(options):
    """Matrix product of 2048x2048 and eight 3x3 convolutions in a row, 64 channels, 32x32, batch 16."""
    tf = runtime.load_tensorflow()
    cases, work, side, depth = {}, {}, 512 if options.quick else 2048, 8
    rng = np.random.default_rng(0)
    matrices = rng.normal(0, 1 / math.sqrt(side), (2, side, side))
    images, kernel = rng.normal(size=(16, 32, 32, 64)), rng.normal(0, 1 / 24, (3, 3, 64, 64))

    @tf.function
    def convolve(x, kernel):
        for _ in range(depth):  # a single one would be over before the call is
            x = tf.nn.conv2d(x, kernel, 1, "SAME")
        return x

    product = tf.function(tf.matmul)  # one function for each kind: arguments, so that nothing is folded into a constant
    for policy in POLICIES:
        dtype = policy.removeprefix("mixed_")
        cases["matmul", policy] = functools.partial(product, *tf.unstack(tf.cast(matrices, dtype)))
        cases["conv", policy] = functools.partial(convolve, tf.cast(images, dtype), tf.cast(kernel, dtype))
        work["matmul", policy] = 2 * side**3 / 1e9
        work["conv", policy] = depth * 2 * 9 * 64 * 64 * 16 * 32 * 32 / 1e9
    titles = {"matmul": f"matmul {side}x{side}", "conv": "conv 3x3, 64 channels, 32x32, batch 16"}
    return {
        key: row("roof", titles[key[0]], windows, unit="ms", precision=key[1], gflop=work[key])
        for key, windows in measure(cases, options).items()
    }


def train_step(trainer, batch):
    """A call that makes one step, as Keras' `fit` does: a graph, and one number read from it."""
    step = runtime.load_tensorflow().function(trainer.train_step)
    return lambda: float(next(iter(step(batch).values())))


def step_gflop(trainer, size=data.HR_SIZE):
    """Billions of operations per image of a training step, counted as said above."""
    from srlib.models import gflops

    total = 3 * gflops(trainer.generator)
    if hasattr(trainer, "discriminator"):
        side = min(trainer.window_size, size)
        total += 7 * gflops(trainer.discriminator, side)
        total += 3 * gflops(trainer.features, side) if trainer.weights_of["perceptual"] else 0
    return total


def distinct_networks():
    """Rungs of the ladder by network: a list of lists of names, the pixel recipe first."""
    from srlib import models

    groups = {}
    for name, build_network in models.GENERATORS.items():
        network = build_network()
        groups.setdefault((network.name, network.count_params()), []).append(name)
    return list(groups.values())


def network_rows(options, roof):
    """Forward pass, pixel step and adversarial step of every network, 32x32 -> 128x128."""
    from srlib import models, training

    rows, batch = [], faces(options.batch)
    for names in distinct_networks():
        if options.networks and not set(names) & set(options.networks):
            continue
        cases, facts = {}, {}
        for policy in POLICIES:
            # the pixel recipe of this network; a recipe that knows the adversarial stage only is stripped of it
            recipe = dataclasses.replace(training.RECIPES[names[0]], discriminator=None, adversarial=0.0, perceptual=0.0)
            pixel = training.build_trainer(names[0], recipe, precision=policy)
            forward = runtime.load_tensorflow().function(functools.partial(pixel.generator, training=False))
            one = models.gflops(pixel.generator)
            cases["forward", policy] = functools.partial(forward, batch[0])
            facts["forward", policy] = one, f"{pixel.generator.count_params():,} parameters, {one:.2f} GFLOP/image"
            cases["pixel step", policy] = train_step(pixel, batch)
            facts["pixel step", policy] = 3 * one, ""
            for name in names:
                recipe = training.RECIPES[name]
                if recipe.discriminator:
                    trainer = training.build_trainer(name, recipe, precision=policy)
                    cost, case = step_gflop(trainer), f"adversarial step {name}"
                    cases[case, policy] = train_step(trainer, batch)
                    seen = "D and VGG" if recipe.perceptual else "D"
                    note = f"{recipe.discriminator} D; {seen} see {trainer.window_size} px; {cost:.1f} GFLOP/image"
                    facts[case, policy] = cost, note
        for (case, policy), windows in measure(cases, options).items():
            gflop, note = facts[case, policy]
            label = f"{names[0]}: {case}"
            rows.append(row("networks", label, windows, options.batch, "images/s", policy, options.batch * gflop, roof, note))
        cases.clear()
        _forget()
    return rows


def _forget():
    runtime.load_tensorflow().keras.backend.clear_session()
    gc.collect()


def plain_loop(generator, discriminator, features):
    """SRGAN's adversarial step as public TensorFlow trainers and tutorials write it; a function (lr, hr) -> two losses.

    One `tf.function`, two tapes, both networks updated from one forward pass each, Adam at 1e-4; the generator's loss
    is the mean squared error of VGG features of the whole image plus 1e-3 of the adversarial term (Ledig et al. 2017,
    eq. 3). Nothing is left out of it or put in to slow it down.
    """
    tf = runtime.load_tensorflow()
    import keras

    mse, entropy = keras.losses.MeanSquaredError(), keras.losses.BinaryCrossentropy(from_logits=True)
    g_optimizer, d_optimizer = keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4)
    g_optimizer.build(generator.trainable_variables)
    d_optimizer.build(discriminator.trainable_variables)

    @tf.function
    def step(lr, hr):
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            sr = generator(lr, training=True)
            real, fake = discriminator(hr, training=True), discriminator(sr, training=True)
            content = sum(mse(x, y) for x, y in zip(keras.tree.flatten(features(hr)), keras.tree.flatten(features(sr))))
            g_loss = content + 1e-3 * entropy(tf.ones_like(fake), fake)
            d_loss = entropy(tf.ones_like(real), real) + entropy(tf.zeros_like(fake), fake)
        g_gradients = g_tape.gradient(g_loss, generator.trainable_variables)
        d_gradients = d_tape.gradient(d_loss, discriminator.trainable_variables)
        g_optimizer.apply_gradients(zip(g_gradients, generator.trainable_variables))
        d_optimizer.apply_gradients(zip(d_gradients, discriminator.trainable_variables))
        return g_loss, d_loss

    return step


def published_discriminator(filters=64):
    """SRGAN's discriminator as published: the last feature map is flattened into 1,024 units, 34 M of 38 M weights."""
    import keras
    from keras import layers

    from srlib.models import conv

    inputs = keras.Input((data.HR_SIZE, data.HR_SIZE, 3))
    x = layers.LeakyReLU(0.2)(conv(filters)(layers.Rescaling(2.0, -1.0)(inputs)))
    for width, strides in ((1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)):
        x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(conv(width * filters, 3, strides)(x)))
    x = layers.LeakyReLU(0.2)(layers.Dense(1024)(layers.Flatten()(x)))
    return keras.Model(inputs, layers.Dense(1, dtype="float32")(x), name="published_discriminator")


def loop_rows(options, roof):
    """SRGAN's step (SRResNet-16, VGG features on): a plain loop against ours, in turns."""
    from srlib import losses, models, training

    import keras

    lr, hr = batch = faces(options.batch)
    best, recipe = runtime.best_precision(), training.RECIPES["srgan"]
    cases, cost = {}, {}
    with runtime.precision("float32"):
        features = losses.vgg_features()
        with mock.patch.object(models, "BatchNormalization", keras.layers.BatchNormalization):
            tutorial = models.srresnet(), published_discriminator()
            pooled = models.srresnet(), models.srgan_discriminator()
        plain = {
            "plain loop, Keras' layers, D as published (flatten)": tutorial,
            "plain loop, Keras' layers, pooled D": pooled,
            "plain loop, srlib's layers, pooled D": (models.srresnet(), models.srgan_discriminator()),
        }
    for name, (generator, discriminator) in plain.items():
        step = plain_loop(generator, discriminator, features)
        cases[name, "float32"] = lambda step=step: float(step(lr, hr)[0])
        judges = 7 * models.gflops(discriminator, data.HR_SIZE) + 3 * models.gflops(features, data.HR_SIZE)
        cost[name, "float32"] = 3 * models.gflops(generator) + judges
    for policy in dict.fromkeys(("float32", best)):
        trainer = training.build_trainer("srgan", recipe, precision=policy)
        trainer.window_size = data.HR_SIZE  # VGG and D see the whole image, as in the plain loop
        cases["ours, equal: the same networks, taps and whole image", policy] = train_step(trainer, batch)
        cost["ours, equal: the same networks, taps and whole image", policy] = step_gflop(trainer)
    for name in ("srgan", "facesr-gan"):
        trainer = training.build_trainer(name, training.RECIPES[name], precision=best)
        label = f"ours, recipe {name}: VGG and D see {trainer.window_size} px"
        cases[label, best], cost[label, best] = train_step(trainer, batch), step_gflop(trainer)
    timed = measure(cases, options)
    rows = {
        (name, policy): row("loop", name, windows, options.batch, "images/s", policy, options.batch * cost[name, policy], roof)
        for (name, policy), windows in timed.items()
    }
    first, strict = (rows[name, "float32"]["median"] for name in (list(plain)[0], list(plain)[2]))
    for line in rows.values():
        line["note"] = f"{line['median'] / first:.1f}x the first row, {line['median'] / strict:.1f}x the third"
    _forget()
    return list(rows.values())


def input_rows(options):
    """Images a second of every source alone, on as many cores as it takes, and its share of a pixel step's CPU time."""
    from PIL import Image

    from srlib import training

    rows, count = [], 300 if options.quick else 2000  # more than 256: those are kept on the disk, see `data.prepare`
    steps = 20 if options.quick else 200
    limits = runtime.Profile("benchmark", None, None, 1, 1, 1, 1, 1, 1)
    step_cpu = {}
    for name in ("facesr", "facesr-light"):
        run = train_step(training.build_trainer(name, training.RECIPES[name], precision=runtime.best_precision()), faces(options.batch))
        step_cpu[name] = statistics.median(w.cpu for w in measure({name: run}, options)[name]) / options.batch
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"SRLIB_HOME": folder}):
        photos = pathlib.Path(folder) / "photos"
        photos.mkdir()
        originals = data.sample(dataclasses.replace(limits, train_images=64, held_out_images=1)).train
        for index in range(count):
            face = Image.fromarray(originals[index % 64]).resize((178, 218), Image.Resampling.BICUBIC)
            face.save(photos / f"{index:06d}.jpg", quality=95)

        def fresh():  # with an empty SRLIB_HOME, so that nothing is prepared yet
            with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ, {"SRLIB_HOME": home}):
                data.read_folder(photos, limits)

        def consume(pixels):
            for _ in data.batches(pixels, options.batch, steps):
                pass

        prepared = data.read_folder(photos, limits).train
        sources = {"RAM, LR made on the fly": np.array(prepared), "prepared file (memory map), LR made on the fly": prepared}
        cases = {name: functools.partial(consume, pixels) for name, pixels in sources.items()}
        timed = measure({"folder of JPEGs, once: decode, crop, shrink, keep": fresh}, options, warmups=1)
        timed |= measure(cases, options, warmups=1)
        del prepared, sources  # or Windows could not delete the file
    for name, windows in timed.items():
        once = name.startswith("folder")
        line = row("input", name, windows, count if once else steps * options.batch, "images/s")
        shares = ", ".join(f"{line['cpu_ms'] / 1000 / cpu:.1%} of {rung}'s" for rung, cpu in step_cpu.items())
        line["note"] = f"{count} files of 178x218, not in a step" if once else f"CPU time: {shares} pixel step"
        rows.append(line)
    _forget()
    return rows


def child(*arguments, **environment):
    """Run Python in a new process on this checkout; returns what it prints."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    variables = os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    result = subprocess.run([sys.executable, *arguments], env=variables, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"a child process failed: {result.stderr[-2000:]}")
    return result.stdout


def import_rows(options):
    """Cold processes, warm disk. The last rows' notes say what srlib adds to TensorFlow's import in CPU time."""
    heavy = "from srlib import checks, losses, metrics, models, plotting, pretrained, training"
    programs = {
        "python alone": "pass", "numpy": "import numpy", "srlib": "import srlib", "srlib.data": "from srlib import data",
        "srlib.metrics": "from srlib import metrics", "srlib.pretrained": "from srlib import pretrained",
        "tensorflow": "import tensorflow", "tensorflow, matplotlib": "import tensorflow, matplotlib.pyplot",
        "all of srlib": heavy,
    }  # fmt: skip
    asked = "\nimport sys; print('tensorflow' in sys.modules)"
    loaded = {name: child("-c", code + asked).strip() == "True" for name, code in programs.items()}
    timed = measure({name: functools.partial(child, "-c", code) for name, code in programs.items()}, options, warmups=0, seconds=0)
    rows = {name: row("import", name, windows) for name, windows in timed.items()}
    for name, line in rows.items():
        line["note"] = "with TensorFlow" if loaded[name] else "without TensorFlow"
    more = rows["all of srlib"]["cpu_ms"] - rows["tensorflow, matplotlib"]["cpu_ms"]
    rows["all of srlib"]["note"] += f"; adds {more / 1000:+.2f} s of CPU to TensorFlow's and matplotlib's"
    return list(rows.values())


def quickstart_cells():
    """Chapter 00 as a notebook that ends with the first figure of a restored face."""
    import nbformat

    notebook = nbformat.read(ROOT / "notebooks" / "00_quickstart.ipynb", as_version=4)
    code = [cell.source if cell.cell_type == "code" else "" for cell in notebook.cells]
    loads = next(index for index, source in enumerate(code) if "pretrained.load(" in source)
    shows = next(index for index, source in enumerate(code) if index > loads and "plt.show()" in source)
    notebook.cells = notebook.cells[: shows + 1]
    return notebook


def quickstart_rows(options):
    """From the start of the notebook's kernel to the first restored face, TensorFlow's import included."""
    import nbclient

    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    variables = {"SRLIB_PROFILE": "quick", "SRLIB_DATA": "sample", "PYTHONPATH": path}

    def run():
        notebook = quickstart_cells()
        with mock.patch.dict(os.environ, variables):
            nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute(stderr=subprocess.DEVNULL)
        pictures = [output for output in notebook.cells[-1].outputs if "image/png" in output.get("data", {})]
        assert pictures, "the last cell drew nothing"

    windows = measure({"": run}, options, warmups=0, seconds=0)[""]
    return [row("quickstart", "kernel start to the first restored face", windows, note="target: 25 s on two cores")]


def inference_rows(options):
    """Milliseconds per 32x32 face with `training.predict`, by precision and batch; the first calls are not counted."""
    from srlib import models, pretrained, training

    rows, known = [], set()
    for name in pretrained.names():
        facts = pretrained.info(name)["parameters"]
        if facts in known or options.networks and name not in options.networks:
            continue  # the adversarial rungs have the networks of the pixel rungs
        known.add(facts)
        cases = {}
        for policy in POLICIES:
            with runtime.precision(policy):
                network = models.GENERATORS[name]()
            network.set_weights(pretrained.load_arrays(name))
            for batch in (1, 4, 20, 64):
                cases[policy, batch] = functools.partial(training.predict, network, faces(64)[0].numpy()[:batch], batch)
        for (policy, batch), windows in measure(cases, options, seconds=options.seconds / 2).items():
            rows.append(row("inference", f"{name}, batch {batch}", windows, batch, "ms/face", policy))
    _forget()
    return rows


PHOTO = """
import sys, time
import numpy as np
from PIL import Image
from srlib import data, pretrained, runtime
width, height = map(int, sys.argv[1:3])
photo = np.asarray(Image.fromarray(data.portraits()[1]).resize((width, height), Image.Resampling.BICUBIC))
pretrained.enlarge(photo[:64, :64], verbose=0)  # warm-up: TensorFlow, weights, the first graph
before, wall, cpu = runtime.peak_memory(), time.perf_counter(), time.process_time()
result = pretrained.enlarge(photo, verbose=0)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(wall, cpu, before, runtime.peak_memory(), result.nbytes / 1e6)
"""


def photo_rows(options):
    """A photo of 12 megapixels through `pretrained.enlarge` in tiles: time and peak memory of a process of its own."""
    width, height = (800, 600) if options.quick else (4000, 3000)
    machine, start = machine_cpu(), time.perf_counter()
    own = own_cpu()
    wall, cpu, before, peak, result = map(float, child("-c", PHOTO, str(width), str(height)).split())
    others = (machine_cpu() - machine - (own_cpu() - own)) / (time.perf_counter() - start)
    note = (
        f"{width}x{height} -> {4 * width}x{4 * height}; peak memory {peak:,.0f} MB, of which {before:,.0f} before it began "
        f"and {result:,.0f} are the result; warm-up excluded; {1e6 * cpu / width / height:.1f} us of CPU a pixel of the photo"
    )
    windows = [Window(wall, cpu, max(others, 0.0))]
    return [row("photo", f"enlarge {width * height / 1e6:.3g} megapixels", windows, precision=runtime.best_precision(), note=note)]


# --- output ----------------------------------------------------------------------------------------

PARTS = {
    "roof": roof_rows, "networks": network_rows, "loop": loop_rows, "input": input_rows, "import": import_rows,
    "quickstart": quickstart_rows, "inference": inference_rows, "photo": photo_rows,
}  # fmt: skip


def machine_lines(batch):
    """What was measured on what, in a few lines."""
    text = ""
    with contextlib.suppress(OSError):
        text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", text)
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if re.search(rf"\b{flag}\b", text)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("keras", "numpy", "pillow"))
    tf = runtime.load_tensorflow()
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
    return [
        f"- {model.group(1) if model else platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{', '.join(flags) or 'no vector flags known'}; {runtime.gpu_count()} GPU; {platform.system()}",
        f"- Python {platform.python_version()}, TensorFlow {tf.__version__}, {versions}; fastest precision here: "
        f"{runtime.best_precision()}",
        f"- load average at the start: {load}; batch {batch}, 32x32 -> 128x128",
    ]


def markdown(rows):
    """One part as a Markdown table; columns that are empty throughout are left out."""

    def cell(line, name):
        value = line[name]
        if name == "median":
            mark = " *" if line["others"] > NOISE else ""
            return f"{value:.4g} {line['unit']} ({line['low']:.4g} to {line['high']:.4g}){mark}"
        if isinstance(value, float):
            return f"{value:.0%}" if name.startswith("of_") else f"{value:.4g}"
        return str(value)

    shown = ["case", *(name for name in COLUMNS if COLUMNS[name] and any(line[name] != "" for line in rows))]
    lines = ["| " + " | ".join(COLUMNS[name] or name for name in shown) + " |", "|---" * len(shown) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cell(line, name) for name in shown) + " |" for line in rows])


def main(arguments=None):
    """Command line: run the parts, print the tables, write the CSV file."""
    parser = argparse.ArgumentParser(prog="python tests/benchmark.py", description="How fast is it here?")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to run (default: all)")
    parser.add_argument("--networks", nargs="+", help="rungs of the ladder for `networks` and `inference` (default: all)")
    parser.add_argument("--repeats", type=int, default=7, help="windows a row (default: 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a window (default: 1)")
    parser.add_argument("--batch", type=int, default=16, help="images a training step (default: 16)")
    parser.add_argument("--quick", action="store_true", help="one call a row, two images a step, few files: to see that it runs")
    parser.add_argument("--csv", help="where to write the CSV file (default: SRLIB_HOME/benchmark.csv)")
    options = parser.parse_args(arguments)
    options.warmups = 2
    if options.quick:
        options.batch, options.repeats, options.seconds, options.warmups = min(options.batch, 2), 1, 0.0, 1
    print("\n".join(["# Benchmark", "", *machine_lines(options.batch)]), flush=True)
    rows, roof = [], None
    if set(options.only) & {"roof", "networks", "loop"}:
        found = roof_rows(options)
        roof = {key: line["gflops"] for key, line in found.items()}
    for part in PARTS:
        if part in options.only:
            arguments = [options, roof] if part in ("networks", "loop") else [options]
            new = list(found.values()) if part == "roof" else PARTS[part](*arguments)
            rows += new
            print(f"\n## {part}\n\n{PARTS[part].__doc__.splitlines()[0]}\n\n{markdown(new)}", flush=True)
    loud = sum(line["others"] > NOISE for line in rows)
    if loud:
        print(f"\n`*` {loud} of {len(rows)} rows: other processes took more than {NOISE} of a core meanwhile. Do not quote them.")
    elif any(math.isnan(line["others"]) for line in rows):
        print("\nWhat other processes did meanwhile is not known on this system.")
    else:
        print(f"\nNo other process took more than {NOISE} of a core while a row was measured.")
    print("In brackets: the quartiles over the windows. CPU ms: of this process, per image, face or call.")
    target = pathlib.Path(options.csv or runtime.home() / "benchmark.csv")
    with open(target, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for line in rows:
            writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in line.items()})


if __name__ == "__main__":
    main()
