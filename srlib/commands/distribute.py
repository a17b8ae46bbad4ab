r"""`srlib distribute NAME`: one training on several devices, processes or machines, by `tf.distribute`.

Start it once for each worker, here or on several machines, each with its own value of TensorFlow's variable. For worker
1 of two:

    TF_CONFIG='{"cluster": {"worker": ["node1:20000", "node2:20000"]}, "task": {"type": "worker", "index": 1}}' \
    srlib distribute facesr-light --folder runs/two

Without the variable, it takes all GPUs of this machine. Worker 0 is the chief: it validates, reports, reads and writes
the checkpoints. The trainers of `training` run unchanged.
"""

import contextlib
import dataclasses
import faulthandler
import json
import os

from .. import runtime

tf = runtime.load_tensorflow(start=False)  # before the imports that start the devices: `connect` arranges them
from .. import callbacks, checkpoints, data, datasets, recipes, training  # noqa: E402
from ..backend import keras  # noqa: E402


def connect(timeout=300):
    """The `tf.distribute` strategy of this process. Call it before TensorFlow has run an operation.

    For that, import this module before any other of srlib. With several workers in `TF_CONFIG`, it is a
    `MultiWorkerMirroredStrategy`, and the call waits until all have started; after `timeout` seconds it ends the
    process. Workers talk to each other directly, past any proxy. Without, it is a `MirroredStrategy` over all GPUs; on
    a single device it is TensorFlow's default.
    """
    hosts = sum(json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {}).values(), [])
    if len(hosts) > 1:
        os.environ["no_grpc_proxy"] = ",".join(host.rpartition(":")[0] for host in hosts)
        runtime.say(
            f"waiting at most {timeout} s for all of {', '.join(hosts)}. If it ends with Timeout: is each started, and "
            "its port open?"
        )
        with watched(timeout, "at the start"):
            return tf.distribute.MultiWorkerMirroredStrategy()  # its own time limits would leave threads behind
    return tf.distribute.MirroredStrategy() if runtime.gpu_count() > 1 else tf.distribute.get_strategy()


@contextlib.contextmanager
def watched(seconds, when):
    """End this process when, in the block, another worker is lost, or does not answer for `seconds`.

    TensorFlow notices a broken connection at once and a missing heartbeat after some seconds; the process says so, and
    ends with exit code 3. For a worker that never starts, or hangs while its heart beats, TensorFlow waits for
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
        runtime.say(
            f"lost another worker {when} ({error.message.rpartition('aborted by: ')[2].partition(chr(10))[0][:160]}); "
            "start all again: they go on from the last checkpoint"
        )
        os._exit(3)  # threads of TensorFlow wait for the lost one, and cannot be interrupted
    finally:
        faulthandler.cancel_dump_traceback_later()


def average_gradients(optimizer, replicas):
    """Make `optimizer` apply the mean of the replicas' gradients, that is, the gradient of the global batch.

    Keras adds the gradients of all replicas up. Each replica's loss is a mean over its share of the batch, so they
    have to be divided by their number.
    """

    def apply(gradients, weights):
        return type(optimizer).apply(optimizer, [gradient / replicas for gradient in gradients], weights)

    optimizer.apply = apply


def train(name, folder, recipe, photos, strategy, timeout=300):
    """`training.fit` by a recipe on the replicas of a strategy: the same batches, history, guard and checkpoints.

    strategy: of `connect`. recipe: a `recipes.Recipe`, whose batch is the global one, over all replicas. photos: of
    `datasets.load`. The chief alone validates, reports, reads and writes `folder`, and returns the whole history; the
    others begin with its weights. A checkpoint does not depend on the number of replicas. Losses in the history are
    means over the global batch; the gradients' norms are means of the replicas' norms, which are larger than the norm
    of the mean.

    timeout: seconds that a step may take, the others' work included: more than the first one, which compiles, or the
    chief's validation takes; see `watched`. Numbers and snapshots are a matter of one process: `srlib train NAME
    --folder FOLDER`, with the same `--data` and `--set`, finds the finished training there.

    Raises what `training.fit` raises; `ValueError` for a batch that cannot be divided, or a folder that holds another
    training. Taught in chapter 06.
    """
    replicas, chief = strategy.num_replicas_in_sync, strategy.extended.should_checkpoint
    if recipe.batch % replicas:
        raise ValueError(f"batch is {recipe.batch}, for {replicas} replicas; expected a multiple of {replicas}")
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
        with strategy.scope(), watched(timeout, "while all built their networks"):
            trainer = recipes.build_trainer(name, recipe)
            start = int(tf.Variable(checkpoints.resume(folder, trainer, order) if chief else 0).numpy())
            for variable in trainer.state():  # in this scope, a new variable has the chief's value everywhere
                variable.assign(tf.Variable(variable.value))
        for optimizer in (trainer.optimizer, getattr(trainer, "d_optimizer", trainer.optimizer)):
            average_gradients(optimizer, replicas)
        history = callbacks.History(start, recipe.steps, recipes.EVERY, folder if chief else None)
        mine = (photos.val[:100], folder, 2, True) if chief else (None, None, 2, False)  # keep 2; verbose
        told = keras.callbacks.CallbackList(training.own_callbacks(history, order, *mine), model=trainer)
        told.on_train_begin()
        batches = data.batches(photos.train, recipe.batch, recipe.steps, start=start, patch=recipe.patch)
        size = recipe.batch // replicas
        for index, pair in enumerate(batches):  # equal slices: any number of replicas sees what one would see alone
            with watched(timeout, f"in step {start + index + 1}"):
                images = strategy.experimental_distribute_values_from_function(
                    lambda context: tuple(part[size * context.replica_id_in_sync_group :][:size] for part in pair)
                )
                logs = {name: value.numpy() for name, value in step(images).items()}
            told.on_train_batch_end(index, logs)
    return history.columns


OPTIONS = {
    "name": {"choices": recipes.RECIPES, "help": "which network"},
    "--folder": {"required": True, "help": "for checkpoints and history, on the chief's disk"},
    "--timeout": {"type": int, "default": 300, "help": "seconds to wait for the other workers (default: 300)"},
    "--data": {"help": "sample, celeba or a folder (default: SRLIB_DATA)"},
    "--set": {"dest": "changes", "nargs": "+", "default": [], "metavar": "KEY=VALUE", "help": "of the recipe, for all"},
}


def main(name, folder, timeout, data, changes):
    recipe = recipes.changed(recipes.RECIPES[name], changes)
    strategy = connect(timeout)
    photos = datasets.load(data, dataclasses.replace(runtime.PROFILES["full"], train_images=None))
    train(name, folder, recipe, photos, strategy, timeout)
