"""Where a chapter runs: profile, data source, folders, seeds, precision, quiet start of TensorFlow."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import platform
import sys


@dataclasses.dataclass(frozen=True)
class Profile:
    """Every size and step count that a chapter uses. `None` means "all there are"."""

    name: str
    train_images: int | None  # HR faces (or crops of the sample photos) used for training
    held_out_images: int | None  # faces used for validation, and as many for testing
    batch: int  # images per training step
    steps: int  # steps of the one long training of a chapter
    short_steps: int  # steps of each run where several runs are compared
    blocks: int  # residual blocks of the network trained in front of the reader
    filters: int  # its channels
    repeats: int  # repetitions behind a median time


PROFILES = {
    "smoke": Profile("smoke", 24, 6, batch=4, steps=6, short_steps=3, blocks=1, filters=8, repeats=1),
    "quick": Profile("quick", 512, 64, batch=16, steps=240, short_steps=80, blocks=4, filters=32, repeats=5),
    "full": Profile("full", None, 1_000, batch=32, steps=20_000, short_steps=1_000, blocks=16, filters=64, repeats=9),
}


def load_tensorflow(start=True):
    """Import TensorFlow once, without its start-up messages, and return the module.

    The messages are written by C++ code to file descriptor 2, below Python's `sys.stderr`; that
    descriptor points to nowhere while the import runs. Python exceptions still come through. start: also run a
    first operation, which starts the devices; `distributed` has to arrange them before.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        with _silent_descriptor(2):
            import tensorflow as tf

            if start:
                tf.constant(0.0)  # the first operation starts the devices, which also log
            tf.get_logger().setLevel("ERROR")  # several small models look like retracing to TensorFlow
    import tensorflow as tf

    return tf


@contextlib.contextmanager
def _silent_descriptor(number):
    sys.stderr.flush()
    saved = os.dup(number)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, number)
        yield
    finally:
        os.dup2(saved, number)
        os.close(nowhere)
        os.close(saved)


@functools.cache
def gpu_count():
    """Number of GPUs that TensorFlow sees."""
    return len(load_tensorflow().config.list_physical_devices("GPU"))


def profile():
    """The `Profile` named by the variable `SRLIB_PROFILE`; without it `full` on a GPU, else `quick`.

    Raises `ValueError` for an unknown name.
    """
    name = os.environ.get("SRLIB_PROFILE") or ("full" if gpu_count() else "quick")
    if name not in PROFILES:
        raise ValueError(f"SRLIB_PROFILE is {name!r}; it must be one of {', '.join(PROFILES)}")
    return PROFILES[name]


def data_source():
    """What `SRLIB_DATA` names: `sample`, `celeba` or a folder. Default: `celeba` in `full`, else `sample`."""
    return os.environ.get("SRLIB_DATA") or ("celeba" if profile().name == "full" else "sample")


def home():
    """Folder for prepared data and checkpoints: `SRLIB_HOME`, or `/kaggle/working/srlib`, or `~/.cache/srlib`.

    Set `SRLIB_HOME` to a Google Drive folder to keep them when Colab disconnects. Raises `OSError` that says
    so if the folder cannot be made.
    """
    if os.environ.get("SRLIB_HOME"):
        folder = pathlib.Path(os.environ["SRLIB_HOME"]).expanduser()
    elif pathlib.Path("/kaggle/working").is_dir():
        folder = pathlib.Path("/kaggle/working/srlib")
    else:
        folder = pathlib.Path.home() / ".cache" / "srlib"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot make the folder {folder} ({error.strerror}); set SRLIB_HOME to one that you may write to") from error
    return folder


@contextlib.contextmanager
def replacing(path, mode="wb"):
    """Open a file for writing beside `path` and rename it at the end: a kill or a full disk leaves the old one whole."""
    path = pathlib.Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        text = {} if "b" in mode else {"newline": "", "encoding": "utf-8"}
        with open(partial, mode, **text) as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


CPU_INFO = pathlib.Path("/proc/cpuinfo")  # where Linux lists what its processor can do
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}  # units for bfloat16 products; without them it would be emulated


def processor():
    """Name of what computes here: the GPU, else the processor, as far as the system tells."""
    tf = load_tensorflow()
    for gpu in tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
    try:
        names = [line.partition(":")[2].strip() for line in CPU_INFO.read_text().splitlines() if line.startswith("model name")]
    except OSError:  # not Linux
        names = []
    return names[0] if names else platform.processor() or platform.machine()


@functools.cache
def best_precision():
    """The fastest safe dtype policy here: `mixed_bfloat16` where the hardware has bfloat16, else `float32`.

    bfloat16 has float32's exponent, so nothing overflows; it pays on CPUs with AVX512_BF16 or AMX and
    on GPUs of compute capability 8.0 and later. float16 is never chosen: it overflows at 65,504. Whoever builds
    networks under `precision("mixed_float16")` gets a loss scale from `training`, and the guard.
    """
    tf = load_tensorflow()
    for gpu in tf.config.list_physical_devices("GPU"):
        capability = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        return "mixed_bfloat16" if capability >= (8, 0) else "float32"
    try:
        flags = CPU_INFO.read_text().split()
    except OSError:  # not Linux: nothing is known, and float32 is right everywhere
        return "float32"
    return "mixed_bfloat16" if BFLOAT16_FLAGS.intersection(flags) else "float32"


POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


@contextlib.contextmanager
def precision(policy):
    """Build Keras layers under a dtype policy, one of `POLICIES`, then restore the old one.

    Raises `ValueError` for another policy: without `mixed_`, the weights themselves would lose their digits.
    """
    if policy not in POLICIES:
        raise ValueError(f"the precision is {policy!r}; it must be one of {', '.join(POLICIES)}")
    load_tensorflow()
    import keras

    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def peak_memory():
    """Megabytes of memory that this process held at its peak; NaN where the system does not tell (Windows)."""
    try:
        status = pathlib.Path("/proc/self/status").read_text()  # `getrusage` would begin at the parent's peak
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def setup(seed=0):
    """First call of every chapter: quiet TensorFlow, fix all seeds, say where we are; returns the `Profile`."""
    from . import __version__

    tf = load_tensorflow()
    import keras

    keras.utils.set_random_seed(seed)
    chosen = profile()
    device = f"{gpu_count()} GPU" if gpu_count() else f"CPU, {os.cpu_count()} cores"
    print(f"srlib {__version__} on TensorFlow {tf.__version__}, Keras {keras.__version__} ({device})")
    print(f"profile: {chosen.name} · data: {pathlib.Path(data_source()).name} · training precision: {best_precision()}")
    return chosen
