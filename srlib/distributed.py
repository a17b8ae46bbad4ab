"""One training on several devices or machines, by `tf.distribute`; the trainers of `training` run in it unchanged.

    python -m srlib.distributed facesr-light --folder runs/two --workers 2

starts two worker processes on this machine. On a cluster, start the same command on every machine with `--hosts`
and `--index`, or with the variable `TF_CONFIG`; the folder is on a disk that all of them see.
"""

import argparse
import contextlib
import dataclasses
import faulthandler
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time

from . import runtime

tf = runtime.load_tensorflow(start=False)  # `connect` arranges the devices first
import keras  # noqa: E402

from . import data, pretrained, training  # noqa: E402

LOST = 3  # exit code of a worker that has lost the others
FINDS_LOSS = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError, tf.errors.AbortedError, tf.errors.CancelledError)


# --- who takes part --------------------------------------------------------------------------------


def tf_config(hosts, index):
    """The value of `TF_CONFIG` for worker `index`. hosts: a list of "address:port", the same for every worker.

    Worker 0 is the chief: it validates, reports and writes the checkpoints. Raises `ValueError` for an index that
    no host has, or a host without a port.
    """
    if not 0 <= index < len(hosts) or not all(":" in host for host in hosts):
        raise ValueError(f"hosts is {hosts} and index {index}; expected address:port for each, and an index from 0 to {len(hosts) - 1}")
    return json.dumps({"cluster": {"worker": list(hosts)}, "task": {"type": "worker", "index": index}})


def free_ports(count):
    """`count` ports of 127.0.0.1 that nobody listens at.

    They lie below 32,768, where systems do not take ports for outgoing connections, so that between this look and
    the worker's start only another server could take one; all are held until the last is found.
    """
    ports = random.SystemRandom().sample(range(20_000, 32_000), 1000)  # not the seeded generator: that draws alike everywhere
    with contextlib.ExitStack() as held:
        found = []
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", ports[-1]))
                found.append(ports[-1])
            ports.pop()
        return found


def start_workers(count, command, **options):
    """Start `command` `count` times on this machine, each with its `TF_CONFIG` and its share of the cores.

    command: a list of words. options: of `subprocess.Popen`. Returns the processes; number 0 is the chief.
    """
    hosts = [f"127.0.0.1:{port}" for port in free_ports(count)]
    environment = {"TF_NUM_INTRAOP_THREADS": str(max(1, os.cpu_count() // count)), **(options.pop("env", None) or os.environ)}
    return [
        subprocess.Popen(command, env={**environment, "TF_CONFIG": tf_config(hosts, index)}, **options) for index in range(count)
    ]


def supervise(processes, patience=30):
    """Wait for worker processes; when one fails, end those that do not end within `patience` seconds.

    Returns the list of exit codes; a negative one is the number of the signal that killed the process. Whatever
    ends the waiting, Ctrl-C for example, ends the workers, too.
    """
    deadline = None
    try:
        while any(process.poll() is None for process in processes):
            if deadline is None and any(process.poll() for process in processes):
                deadline = time.monotonic() + patience
            if deadline is not None and time.monotonic() > deadline:
                break
            time.sleep(0.1)
    finally:
        for process in processes:
            process.kill()  # nothing happens to one that has ended
            process.wait()
    return [process.returncode for process in processes]


# --- a strategy ------------------------------------------------------------------------------------


class LostWorker(RuntimeError):
    """Another worker does not answer any more."""


def give_up(message):
    """End this process at once: its threads wait for a worker that is gone, and cannot be interrupted."""
    print(message, file=sys.stderr, flush=True)
    os._exit(LOST)


@contextlib.contextmanager
def limit(seconds, message):
    """`give_up` with the message if the block takes longer: nobody waits for ever.

    TensorFlow waits for the start of the others without letting Python's threads run; then `faulthandler`, which
    needs no Python, ends the process 5 seconds later, with exit code 1.
    """
    timer = threading.Timer(seconds, give_up, [message])
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + 5, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()


def connect(replicas=1, timeout=300):
    """The `tf.distribute` strategy of this process. Call it before TensorFlow has run an operation.

    With several workers in `TF_CONFIG`, it is a `MultiWorkerMirroredStrategy`, and the call waits until all have
    started, or ends the process after `timeout` seconds. Without, it is a `MirroredStrategy` over all GPUs, or over `replicas`
    logical devices of the CPU; on a single device it is TensorFlow's default.
    """
    cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    hosts = [host for job in ("chief", "worker") for host in cluster.get(job, [])]
    if len(hosts) > 1:
        print(f"waiting at most {timeout} seconds for all of {', '.join(hosts)}; if it ends here: are all started and open?", flush=True)
        with limit(timeout, "not all workers have started"):
            return tf.distribute.MultiWorkerMirroredStrategy()  # its own time limits would cost threads, some for every step
    if replicas > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
        return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(replicas)])
    return tf.distribute.MirroredStrategy() if runtime.gpu_count() > 1 else tf.distribute.get_strategy()


def is_chief(strategy):
    """Whether this process is the one that writes."""
    return strategy.extended.should_checkpoint


def worker_count(strategy):
    """The number of processes that take part."""
    return getattr(strategy.extended, "_num_workers", 1)


def average_gradients(optimizer, replicas):
    """Make `optimizer` apply the mean of the replicas' gradients, that is, the gradient of the global batch.

    Keras adds the gradients of all replicas up. Each replica's loss is a mean over its share of the batch, so it
    has to be divided by their number. `scale_loss`, which `train_step` calls anyway, is the place.
    """
    optimizer.scale_loss = lambda loss: type(optimizer).scale_loss(optimizer, loss) / replicas


def shards(context, pixels, batch, steps, seed, start, patch):
    """The part of every global batch that this worker's replicas see, a `tf.data.Dataset` with an element a replica.

    context: `tf.distribute.InputContext`. The batch of a step is `data.batch_at`'s, cut into equal slices, so that
    any number of workers sees together what one device would see alone: lr, float32 (batch / replicas, patch / 4,
    patch / 4, 3), and hr, (batch / replicas, patch, patch, 3); replicas has to divide batch. It repeats, for without an end
    the workers need not ask each other at every step whether all have a batch left.
    """
    size = batch // context.num_replicas_in_sync
    local = context.num_replicas_in_sync // context.num_input_pipelines
    first = context.input_pipeline_id * local * size

    def slices(lr, hr):
        return tuple(tf.reshape(images[first : first + local * size], (local, size, *images.shape[1:])) for images in (lr, hr))

    return data.batches(pixels, batch, steps, seed=seed, start=start, patch=patch).map(slices).unbatch().repeat().prefetch(2 * local)


def from_chief(strategy, number):
    """The chief's whole `number`, on all workers; it waits for the slowest."""

    @tf.function
    def total(mine):
        return strategy.reduce("SUM", strategy.run(tf.identity, args=(mine,)), axis=None)

    local = strategy.num_replicas_in_sync // worker_count(strategy)
    return round(float(total(tf.constant(number if is_chief(strategy) else 0, "float64"))) / local)


# --- the loop --------------------------------------------------------------------------------------


def fit(
    strategy, trainer, pixels, steps, batch, val=None, folder=None, seed=0, every=100, patch=data.HR_SIZE, keep=2,
    verbose="auto", callbacks=(), timeout=300,
):  # fmt: skip
    """`training.fit` on the replicas of a strategy: the same batches, history, guard and checkpoints.

    strategy: of `connect`. trainer: built and compiled in `strategy.scope()`. batch: the global one, over all
    replicas. The chief validates, reports, writes checkpoints and calls `callbacks`, which hear of the start, of
    batches and of the end, not of epochs, and cannot stop the training; all workers read the checkpoints, so the
    folder must be on a shared disk. A checkpoint does not depend on the number of replicas. Losses in
    the history are means over the global batch; the gradients' norms are means of the replicas' norms, which
    are larger than the norm of the mean. timeout: seconds that a worker waits for the others at a step; it must be longer
    than the chief's validation, and than the first step, which compiles.

    Raises what `training.fit` raises; `ValueError` if the batch cannot be divided, or workers see different folders;
    `LostWorker` when another worker is gone.
    """
    training._check_arguments(trainer, pixels, steps, batch, val, every, keep, verbose)
    replicas = strategy.num_replicas_in_sync
    if batch % replicas:
        raise ValueError(f"batch is {batch}, for {replicas} replicas; expected a multiple of {replicas}")
    for optimizer in (trainer.optimizer, getattr(trainer, "d_optimizer", trainer.optimizer)):
        average_gradients(optimizer, replicas)
    order = {"seed": seed, "batch": batch, "patch": patch, "images": len(pixels)}
    chief = is_chief(strategy)

    def resume():
        return training.resume(folder, trainer, order) if folder else (0, {})

    with watched(strategy, timeout, "while all looked for the last checkpoint", folder):
        start, history = resume() if chief else (0, {})
        first = from_chief(strategy, start)
        if not chief:
            start, history = resume()
    if start != first:
        raise ValueError(f"this worker found a checkpoint of step {start}, the chief of step {first}: is {folder} on a disk that all see?")
    if start >= steps:
        return history
    names = []

    def replica_step(images):
        logs = trainer.train_step(images)
        names[:] = logs
        return tf.stack([tf.cast(value, "float32") for value in logs.values()])  # one vector: one reduction

    @tf.function
    def step(images):
        return strategy.reduce("MEAN", strategy.run(replica_step, args=(images,)), axis=None)

    dataset = strategy.distribute_datasets_from_function(lambda context: shards(context, pixels, batch, steps, seed, start, patch))
    mine = (val, folder, every, keep, verbose) if chief else (None, None, every, keep, 0)
    recorder = training._Recorder(history, start, steps, *mine, order, pixels)
    told = keras.callbacks.CallbackList([recorder, *(callbacks if chief else ())], model=trainer)
    told.on_train_begin()
    for index, images in zip(range(steps - start), dataset):
        told.on_train_batch_begin(index)
        with watched(strategy, timeout, f"in step {start + index + 1}", folder):
            values = step(images).numpy()
        told.on_train_batch_end(index, dict(zip(names, values)))
    told.on_train_end()
    return history


@contextlib.contextmanager
def watched(strategy, timeout, when, folder):
    """Turn what TensorFlow says about a lost worker into `LostWorker`, and silence for `timeout` seconds into the end."""
    if worker_count(strategy) == 1:
        yield
        return
    after = "Start all workers again: " + (f"they go on from the last checkpoint in {folder}" if folder else "no checkpoint was kept")
    try:
        with limit(timeout, f"no answer from another worker for {timeout} seconds, {when}. {after}"):
            yield
    except FINDS_LOSS as error:
        lines = str(error.message).strip().splitlines()
        reason = next((line for line in lines if "aborted by" in line), lines[0])[:160]
        raise LostWorker(f"lost another worker, {when} ({type(error).__name__}: {reason}). {after}") from error


# --- use -------------------------------------------------------------------------------------------


def train_rung(name, folder, recipe, photos, strategy, precision=None, every=250, timeout=300):
    """`training.train_rung` on the replicas of a strategy; returns the history.

    recipe: `training.Recipe`. photos: of `data.load`. precision: one of `runtime.POLICIES`. every, timeout, and what
    is raised: as in `fit`. Weights, entry and snapshots are then a matter of one process: `python -m srlib.training
    NAME --folder FOLDER`, with the same `--steps` and `--batch`, if they are not the recipe's.
    """
    start_weights = pretrained.load_arrays(recipe.start) if recipe.start else None
    keras.utils.set_random_seed(0)
    with strategy.scope(), watched(strategy, timeout, "while all built their networks", folder):
        trainer = training.build_trainer(name, recipe, start_weights, precision)
    return fit(
        strategy, trainer, photos.train, recipe.steps, recipe.batch, photos.val[:100], folder, every=every, patch=recipe.patch,
        timeout=timeout,
    )  # fmt: skip


def main(arguments=None):
    """Command line: train one rung of the ladder on several devices, processes or machines."""
    parser = argparse.ArgumentParser(prog="python -m srlib.distributed", description=main.__doc__)
    parser.add_argument("name", choices=training.RECIPES, help="rung of the ladder")
    parser.add_argument("--folder", required=True, help="for checkpoints and history; on a disk that all workers see")
    parser.add_argument("--data", help="sample, celeba or a folder (default: SRLIB_DATA)")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--batch", type=int, help="images per step over all workers, instead of the recipe's")
    parser.add_argument("--every", type=int, default=250, help="steps between two checkpoints (default: 250)")
    parser.add_argument("--precision", choices=runtime.POLICIES, help="default: the fastest safe one here")
    parser.add_argument("--timeout", type=int, default=300, help="seconds to wait for the other workers (default: 300)")
    parser.add_argument("--replicas", type=int, default=1, help="logical devices that the CPU of this process is divided into")
    parser.add_argument("--workers", type=int, help="start so many worker processes on this machine")
    parser.add_argument("--hosts", help="address:port of every worker, separated by commas, instead of TF_CONFIG")
    parser.add_argument("--index", type=int, default=0, help="which of the hosts this is, from 0 on")
    options = parser.parse_args(arguments)
    if options.workers is not None and (options.workers < 0 or options.hosts):
        parser.error("--workers starts processes on this machine, one or more; on several machines, give --hosts and --index to each")
    for name in ("steps", "batch", "every", "replicas", "timeout"):
        if (value := getattr(options, name)) is not None and value < 1:
            parser.error(f"--{name} is {value}; it must be at least 1")
    if options.workers:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `supervise` ends the workers before this process goes
        words = list(sys.argv[1:] if arguments is None else arguments)
        command = [sys.executable, "-m", "srlib.distributed", *words, "--workers", "0"]  # the last one counts
        codes = supervise(start_workers(options.workers, command))
        print("exit codes of the workers:", *codes)
        sys.exit(int(any(codes)))
    if options.hosts:
        os.environ["TF_CONFIG"] = tf_config(options.hosts.split(","), options.index)
    strategy = connect(options.replicas, options.timeout)
    changes = {name: value for name in ("steps", "batch") if (value := getattr(options, name)) is not None}
    recipe = dataclasses.replace(training.RECIPES[options.name], **changes)
    profile = runtime.profile() if os.environ.get("SRLIB_PROFILE") else runtime.PROFILES["full"]
    photos = data.load(options.data, profile)
    if is_chief(strategy):
        print(f"{options.name} on {strategy.num_replicas_in_sync} replicas: {recipe}\n{photos.description}", flush=True)
    pathlib.Path(options.folder).mkdir(parents=True, exist_ok=True)
    try:
        train_rung(options.name, options.folder, recipe, photos, strategy, options.precision, options.every, options.timeout)
    except LostWorker as error:
        give_up(str(error))


if __name__ == "__main__":
    main()
