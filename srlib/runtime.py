"""Where a chapter runs: profile, data source, folders, random seeds, precision, one quiet start of TensorFlow."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import platform
import re
import secrets
import shutil
import sys
import tempfile
import time
import warnings

import filelock

from . import __version__


@dataclasses.dataclass(frozen=True)
class Profile:
    """Every size and step count that a chapter uses. `None` means "all there are"."""

    name: str
    train_images: int | None  # HR faces (or crops of the sample photos) used for training
    held_out_images: int | None  # faces used for validation, and as many for testing
    batch: int  # images per training step
    steps: int  # steps of the one long training of a chapter
    short_steps: int  # steps of each run where several runs are compared
    repeats: int  # repetitions behind a median time


PROFILES = {
    "smoke": Profile("smoke", 24, 6, batch=4, steps=6, short_steps=3, repeats=1),
    "quick": Profile("quick", 512, 64, batch=16, steps=240, short_steps=80, repeats=5),
    "full": Profile("full", 20_000, 1_000, batch=32, steps=20_000, short_steps=1_000, repeats=9),
}


# Okabe and Ito's: for colour-blind readers, too
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000"]
STYLE = {  # legible from the last row: letters as large as the prose, figures no wider than the page
    "axes.grid": True, "axes.spines.right": False, "axes.spines.top": False, "axes.titlesize": "medium",
    "figure.constrained_layout.use": True, "figure.dpi": 100, "figure.figsize": (7.8, 3.6), "font.size": 12,
    "grid.alpha": 0.25, "legend.frameon": False, "lines.linewidth": 2, "lines.markersize": 5,
}  # fmt: skip


def load_tensorflow(start=True):
    """Import TensorFlow and Keras once, without their start-up messages, and return the module `tensorflow`.

    The messages are written by C++ code to file descriptor 2, below Python's `sys.stderr`; that
    descriptor points to nowhere while the import runs. Python exceptions still come through. start: also run a
    first operation, which starts the devices; `distribute` has to arrange them before. Raises `ImportError` where
    Keras has been told to use another backend.
    """
    if "keras" not in sys.modules:
        os.environ.update(KERAS_BACKEND="tensorflow", TF_USE_LEGACY_KERAS="0")  # whatever is left there, in keras.json
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with silent_stderr():
            import tensorflow as tf

            if start:
                tf.constant(0.0)  # the first operation starts the devices, which also log
            tf.get_logger().setLevel("ERROR")  # several small models look like retracing to TensorFlow
    import keras
    import tensorflow as tf

    if keras.config.backend() != "tensorflow":
        raise ImportError(
            f"Keras was imported with the backend {keras.config.backend()!r}, and srlib needs TensorFlow: import srlib "
            "before Keras, or remove the variable KERAS_BACKEND, and start Python again"
        )
    keras.config.set_image_data_format("channels_last")  # our images; an old keras.json may say otherwise
    keras.config.set_floatx("float32")
    return tf


def renamed(module, **names):
    """The `__getattr__` of a module whose former names stand elsewhere: asked for one, it raises the new one.

    names: former name = new one, for example read_image="photos.read_image".
    """

    def missing(name):
        where = f"its name is srlib.{names[name]} now" if name in names else "there is no such name"
        raise AttributeError(f"{module}.{name}: {where}")

    return missing


@contextlib.contextmanager
def silent_stderr():
    """Let what libraries of C++ write to file descriptor 2 vanish while the block runs."""
    try:
        saved = os.dup(2)
    except OSError:  # a process without a console: nobody would see it
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def add_in_order(inputs, name=None):
    """The sum of tensors, two at a time, from the first to the last; stands in for TensorFlow's AddN."""
    tf = load_tensorflow()
    if inputs[0].dtype == tf.variant:  # lists of tensors, in the gradients of loops
        return tf.raw_ops.AddN(inputs=inputs, name=name)
    return functools.reduce(lambda total, term: tf.raw_ops.AddV2(x=total, y=term), inputs)


def deterministic():
    """Make trainings of this process repeat bit for bit on a CPU, resumed ones too. Call it before the first network.

    Two things keep TensorFlow from it, beyond random seeds. A graph rewriter reorders sums by the names of the nodes,
    and is switched off. Where three or more gradients meet in one tensor, GradientTape adds them by AddN, which starts
    with whichever input nobody else needs any more; there is no switch for it, not even `enable_op_determinism`, so
    this replaces a private function of TensorFlow (`gen_math_ops.add_n`) for the whole process. Taught in chapter 06.
    """
    tf = load_tensorflow()
    from tensorflow.python.ops import gen_math_ops

    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    gen_math_ops.add_n = add_in_order


@functools.cache
def gpu_count():
    """Number of GPUs that TensorFlow sees."""
    return len(load_tensorflow().config.list_physical_devices("GPU"))


def devices():
    """How many of what compute here, in words."""
    return f"{gpu_count()} GPU" if gpu_count() else f"{os.cpu_count()} CPU cores"


def variable(name, default=""):
    """The value of an environment variable, without the blanks and quotes that shells and forms leave around it."""
    return os.environ.get(name, "").strip(" \t\r\n\xa0\ufeff\"'“”‘’") or default


def profile():
    """The `Profile` named by the variable `SRLIB_PROFILE`; without it `full` on a GPU, else `quick`.

    Raises `ValueError` for an unknown name.
    """
    name = variable("SRLIB_PROFILE") or ("full" if gpu_count() else "quick")
    if name not in PROFILES:
        raise ValueError(f"SRLIB_PROFILE is {name!r}; it must be one of {', '.join(PROFILES)}")
    return PROFILES[name]


def data_source():
    """What `SRLIB_DATA` names: `sample`, `celeba` or a folder. Default: `celeba` in `full`, else `sample`."""
    return variable("SRLIB_DATA") or ("celeba" if profile().name == "full" else "sample")


KAGGLE = pathlib.Path("/kaggle/working")  # what lies there is kept, and published with the notebook


def home():
    """Folder for what is precious, checkpoints: `SRLIB_HOME`, else `/kaggle/working/srlib` or `~/.cache/srlib`.

    Set `SRLIB_HOME` to a Google Drive folder to keep them when Colab disconnects. Raises `OSError` that says
    so if the folder cannot be made.
    """
    return make_folder(variable("SRLIB_HOME") or (KAGGLE / "srlib" if KAGGLE.is_dir() else user_cache()), "SRLIB_HOME")


def cache():
    """Folder for what can be made again, prepared faces: `SRLIB_CACHE`, else on the local disk, and never published."""
    return make_folder(variable("SRLIB_CACHE") or user_cache(local=KAGGLE.is_dir()), "SRLIB_CACHE")


def user_cache(local=False):
    """`~/.cache/srlib`; a temporary folder if asked for, and for somebody without a home, as in some containers."""
    folder = os.path.expanduser("~/.cache")  # as it stands for a user without a home
    return pathlib.Path(tempfile.gettempdir() if local or folder.startswith("~") else folder, "srlib")


def make_folder(folder, name="another folder"):
    """Make a folder, with those above it; returns its path. Raises `OSError`. name: what to change then."""
    try:
        folder = pathlib.Path(folder).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a tilde, and nobody's home
        raise OSError(
            f"cannot make the folder {folder} ({getattr(error, 'strerror', error)}); "
            f"set {name} to one that you may write to"
        ) from error
    return folder


def say(text):
    """Print a line on any console: one that lacks a character shows its number; without a console nothing fails."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or something that can only `write`
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def patiently(action, seconds=5.0):
    """Call `action` until it works, for some seconds: virus scanners and sync clients hold a new file for a moment."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except Exception as error:
            denied = type(error).__name__ in ("PermissionError", "PermissionDeniedError")  # Python's, TensorFlow's
            if not denied or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@contextlib.contextmanager
def locked(path, busy=""):
    """Hold a lock file: wait for another process that does, or raise `OSError` with the words `busy`, if there are any.

    The system gives the lock back when a process ends, however it ends. Where a drive knows no locks, there is none.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(filelock.FileLock(path, timeout=0 if busy else -1))
        except filelock.Timeout as error:
            raise OSError(busy) from error
        except (OSError, NotImplementedError):
            pass
        yield


@contextlib.contextmanager
def replacing(path, needed=True):
    """A path beside `path`, to be written to and renamed at the end: a kill or a full disk leaves the old file whole.

    It ends like `path`, for what writes a file by its suffix. needed: if not, it is only said where it cannot be
    written, for example because another program has it open.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f"{path.stem}.{os.getpid()}-{secrets.token_hex(3)}.partial{path.suffix}")
    try:
        yield partial
        patiently(lambda: partial.replace(path))
    except OSError as error:
        if needed:
            raise
        say(f"cannot write {path} now ({error}); is it open in another program? What was there stays")
    finally:
        partial.unlink(missing_ok=True)


CPU_INFO = pathlib.Path("/proc/cpuinfo")  # where Linux lists what its processor can do
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}  # units for bfloat16 products; without them it would be emulated


def hardware():
    """What computes here, the GPU, else the processor: its name as far as it is known, and whether it has bfloat16."""
    config = load_tensorflow().config
    for gpu in config.list_physical_devices("GPU"):
        details = config.experimental.get_device_details(gpu)
        return details.get("device_name", "GPU"), details.get("compute_capability", (0, 0)) >= (8, 0)
    try:
        text = CPU_INFO.read_text()
    except OSError:  # not Linux: nothing is known, and float32 is right everywhere
        text = ""
    found = re.search(r"model name\s*: (.+)", text)
    return found[1] if found else platform.machine(), not BFLOAT16_FLAGS.isdisjoint(text.split())


@functools.cache
def best_precision():
    """The fastest safe dtype policy here: `mixed_bfloat16` where the hardware has bfloat16, else `float32`.

    bfloat16 has float32's exponent, so nothing overflows; it pays on CPUs with AVX512_BF16 or AMX and
    on GPUs of compute capability 8.0 and later. float16 would overflow at 65,504, and is not offered.
    """
    return "mixed_bfloat16" if hardware()[1] else "float32"


@contextlib.contextmanager
def precision(policy):
    """Build Keras layers under a dtype policy, `float32` or `mixed_bfloat16`, then restore the old one.

    Raises `ValueError` for what Keras does not know. Beware of `float16`: the weights themselves would lose digits.
    """
    load_tensorflow()
    import keras

    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def setup(seed=0):
    """First call of every chapter: quiet TensorFlow, fix all random seeds, set the figures' style, say where we are.

    Returns the `Profile`. This, and no import of ours, changes settings of matplotlib and of `warnings`.
    """
    tf = load_tensorflow()
    import keras
    import matplotlib

    keras.utils.set_random_seed(seed)
    matplotlib.rcParams.update(STYLE | {"axes.prop_cycle": matplotlib.cycler(color=COLOURS)})
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if hasattr(shell, "kernel") and not variable("MPLBACKEND").startswith("module://"):  # Agg, TkAgg, ... of a shell
        shell.run_line_magic("matplotlib", "inline")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # about sizes and tags of photos
    chosen = profile()
    if (
        not gpu_count()
        and os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() not in ("", "-1")  # hidden on purpose
        and (shutil.which("nvidia-smi") or os.path.exists("/dev/nvidiactl"))  # a container may lack the tool
    ):
        say("TensorFlow does not see the NVIDIA GPU of this machine; try: pip install 'tensorflow[and-cuda]'")
    say(f"srlib {__version__} on TensorFlow {tf.__version__}, Keras {keras.__version__} ({devices()})")
    say(f"profile: {chosen.name} · data: {pathlib.Path(data_source()).name} · training precision: {best_precision()}")
    return chosen
