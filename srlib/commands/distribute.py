"""`srlib distribute NAME`: one training on several devices, processes or machines, by `tf.distribute`.

    srlib distribute facesr-light --folder runs/two --workers 2

starts two worker processes on this machine. On a cluster, start it without `--workers` on every machine, each with its
own value of TensorFlow's variable, for worker 1 of two:

    TF_CONFIG='{"cluster": {"worker": ["node1:20000", "node2:20000"]}, "task": {"type": "worker", "index": 1}}'

Worker 0 is the chief: it validates, reports, reads and writes the checkpoints. The trainers of `training` run
unchanged.
"""

import argparse
import contextlib
import dataclasses
import faulthandler
import json
import os
import signal
import socket
import subprocess
import sys
import time

from .. import runtime

tf = runtime.load_tensorflow(start=False)  # before the imports that start the devices: `connect` arranges them
import keras

from .. import callbacks, checkpoints, data, datasets, recipes, training

LOST = 3  # exit code of a worker that has lost the others

# --- who takes part --------------------------------------------------------------------------------


def start_workers(count, command, env=None, **options):
    """Start `command` `count` times on this machine, each with its `TF_CONFIG` and its share of the cores.

    command: a list of words. env, options: of `subprocess.Popen`. Returns the processes; number 0 is the chief.
    """
    with contextlib.ExitStack() as held:  # every port is held until the last is found
        probes = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        hosts = [f"127.0.0.1:{probe.getsockname()[1]}" for probe in probes]
    return [
        subprocess.Popen(
            command,
            env={
                "TF_NUM_INTRAOP_THREADS": str(max(1, os.cpu_count() // count)),
                **(env or os.environ),
                "TF_CONFIG": json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}),
            },
            **options,
        )
        for index in range(count)
    ]


def supervise(processes, patience=30):
    """Wait for worker processes; when one fails, end those that do not end within `patience` seconds.

    Returns the list of exit codes; a negative one is the number of the signal that killed the process. Whatever
    ends the waiting, Ctrl-C for example, ends the workers, too.
    """
    end = float("inf")
    try:
        while None in (codes := [process.poll() for process in processes]) and time.monotonic() < end:
            end = min(end, time.monotonic() + patience) if any(codes) else end
            time.sleep(0.1)
    finally:
        for process in processes:
            process.kill()  # nothing happens to one that has ended
    return [process.wait() for process in processes]


def connect(replicas=1, timeout=300):
    """The `tf.distribute` strategy of this process. Call it before TensorFlow has run an operation.

    For that, import this module before any other of srlib. With several workers in `TF_CONFIG`, it is a
    `MultiWorkerMirroredStrategy`, and the call waits until all have started; after `timeout` seconds it ends the
    process. Workers talk to each other directly: their hosts are added to `no_proxy`. Without, it is a
    `MirroredStrategy` over all GPUs, or over `replicas` logical devices of the CPU; on a single device it is
    TensorFlow's default.
    """
    hosts = sum(json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {}).values(), [])
    if len(hosts) > 1:
        direct = ",".join(host.rpartition(":")[0] for host in hosts)
        os.environ.update(
            {
                name: f"{os.environ.get(name, '')},{direct}".lstrip(",")
                for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy")
            }
        )
        proxies = [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "grpc_proxy")]
        runtime.say(
            f"waiting at most {timeout} s for all of {', '.join(hosts)}. If it ends with Timeout: is each started, "
            f"its port open, and no proxy between (set here: {', '.join(proxies) or 'none'})?"
        )
        with watched(timeout, "at the start"):
            return tf.distribute.MultiWorkerMirroredStrategy()  # its own time limits would leave threads behind
    if replicas > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * replicas
        )
        return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(replicas)])
    return tf.distribute.MirroredStrategy() if runtime.gpu_count() > 1 else tf.distribute.get_strategy()


@contextlib.contextmanager
def watched(seconds, when):
    """End this process when, in the block, another worker is lost, or does not answer for `seconds`.

    TensorFlow notices a broken connection at once and a missing heartbeat after some seconds; the process says so, and
    ends with exit code `LOST`. For a worker that never starts, or hangs while its heart beats, TensorFlow waits for
    ever, and may let no thread of Python run meanwhile. `faulthandler` needs none: it writes "Timeout" and where the
    process waited, and ends it with exit code 1.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.DeadlineExceededError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
    ) as error:
        reason = error.message.rpartition("aborted by: ")[2].partition("\n")[0][:160]
        runtime.say(f"lost another worker {when} ({reason}); start all again: they go on from the last checkpoint")
        os._exit(LOST)  # threads of TensorFlow wait for the lost one, and cannot be interrupted
    finally:
        faulthandler.cancel_dump_traceback_later()


# --- the training ----------------------------------------------------------------------------------


def average_gradients(optimizer, replicas):
    """Make `optimizer` apply the mean of the replicas' gradients, that is, the gradient of the global batch.

    Keras adds the gradients of all replicas up. Each replica's loss is a mean over its share of the batch, so they
    have to be divided by their number.
    """

    def apply(gradients, weights):
        return type(optimizer).apply(optimizer, [gradient / replicas for gradient in gradients], weights)

    optimizer.apply = apply


def train(name, folder, recipe, photos, strategy, precision=None, every=250, timeout=300):
    """`training.fit` by a recipe on the replicas of a strategy: the same batches, history, guard and checkpoints.

    strategy: of `connect`. recipe: a `recipes.Recipe`, whose batch is the global one, over all replicas. photos: of
    `datasets.load`. precision: one of `runtime.POLICIES`. every: as in `training.fit`. The chief alone validates,
    reports, reads and writes `folder`, and returns the whole history; the others begin with its weights. A checkpoint
    does not depend on the number of replicas. Losses in the history are means over the global batch; the gradients'
    norms are means of the replicas' norms, which are larger than the norm of the mean.

    timeout: seconds that a worker waits for the others at a step: more than the first step, which compiles, or the
    chief's validation takes; see `watched`. Numbers and snapshots are a matter of one process: `srlib train NAME
    --folder FOLDER`, with the same `--data` and `--set`, finds the finished training there.

    Raises what `training.fit` raises; `ValueError` for a batch that cannot be divided, or a folder that holds another
    training. Taught in chapter 06.
    """
    replicas, chief = strategy.num_replicas_in_sync, strategy.extended.should_checkpoint
    if recipe.batch % replicas:
        raise ValueError(f"batch is {recipe.batch}, for {replicas} replicas; expected a multiple of {replicas}")
    several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    wait = (lambda when: watched(timeout, when)) if several else contextlib.nullcontext
    order = {"seed": 0, "batch": recipe.batch, "patch": recipe.patch, "images": len(photos.train)}
    keras.utils.set_random_seed(0)

    @tf.function
    def step(images):
        logs = strategy.run(trainer.train_step, args=(images,))
        return {name: strategy.reduce("MEAN", value, axis=None) for name, value in logs.items()}

    with checkpoints.lock(folder) if chief else contextlib.nullcontext():
        if chief:
            recipes.claim(name, folder, recipe, photos, seed=0)
            runtime.say(f"{name} on {replicas} replicas: {recipe}\n{photos.description}; in {folder}")
        with strategy.scope(), wait("while all built their networks"):
            trainer = recipes.build_trainer(name, recipe, precision)
            start = int(tf.Variable(checkpoints.resume(folder, trainer, order) if chief else 0).numpy())
            for variable in trainer.state():  # in this scope, a new variable has the chief's value everywhere
                variable.assign(tf.Variable(variable.value))
        for optimizer in (trainer.optimizer, getattr(trainer, "d_optimizer", trainer.optimizer)):
            average_gradients(optimizer, replicas)
        size = recipe.batch // replicas
        history = callbacks.History(callbacks.Laps(start, recipe.steps, every), folder if chief else None)
        mine = (photos.val[:100], folder, 2, True) if chief else (None, None, 2, False)  # keep 2; verbose
        told = keras.callbacks.CallbackList(training.own_callbacks(history, photos.train, order, *mine), model=trainer)
        told.on_train_begin()
        batches = data.batches(photos.train, recipe.batch, recipe.steps, start=start, patch=recipe.patch)
        for index, pair in enumerate(batches):  # equal slices: any number of replicas sees what one would see alone
            images = strategy.experimental_distribute_values_from_function(
                lambda context: tuple(part[size * context.replica_id_in_sync_group :][:size] for part in pair)
            )
            with wait(f"in step {start + index + 1}"):
                logs = {name: value.numpy() for name, value in step(images).items()}
            told.on_train_batch_end(index, logs)
    return history.columns


def main(arguments):
    parser = argparse.ArgumentParser(prog="srlib distribute", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=recipes.RECIPES, help="which network")
    parser.add_argument("--folder", required=True, help="for checkpoints and history, on the chief's disk")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, default=0, help="start so many worker processes on this machine")
    where.add_argument("--replicas", type=int, default=1, help="logical devices into which this CPU is divided")
    parser.add_argument("--timeout", type=int, default=300, help="seconds to wait for the other workers (default: 300)")
    parser.add_argument("--data", help="sample, celeba or a folder (default: SRLIB_DATA)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the recipe, for all workers")
    options = parser.parse_args(arguments)
    recipe = recipes.changed(recipes.RECIPES[options.name], options.set)
    if min(options.workers + 1, options.replicas, options.timeout) < 1:
        raise ValueError("--workers, --replicas and --timeout must be at least 1")
    if options.workers:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `supervise` ends the workers first
        command = [sys.executable, "-m", "srlib", "distribute", *arguments, "--workers", "0"]  # the last one counts
        return int(any(supervise(start_workers(options.workers, command))))
    strategy = connect(options.replicas, options.timeout)
    photos = datasets.load(options.data, dataclasses.replace(runtime.PROFILES["full"], train_images=None))
    train(options.name, options.folder, recipe, photos, strategy, timeout=options.timeout)
