"""Generators and discriminators of the series, and the layers they share. Taught in chapter 02.

Every generator maps (N, h, w, 3) to (N, 4h, 4w, 3), float32 RGB in [0, 1], for any h, w >= 8. Every
discriminator maps (N, H, W, 3) in [0, 1] to logits. Networks that work in another range inside (the
DCGAN's tanh) convert at their own door.
"""

import math

import numpy as np

from . import data, runtime
from .backend import keras, tf

layers = keras.layers


@keras.saving.register_keras_serializable("srlib")
class PixelShuffle(layers.Layer):
    """Rearrange (N, h, w, C r^2) to (N, r h, r w, C): sub-pixel upsampling (Shi et al. 2016, eq. 4).

    Channel (i r + j) C + c of the input becomes channel c of the pixel at row offset i, column offset j.
    """

    def __init__(self, factor=2, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return tf.nn.depth_to_space(x, self.factor)  # Keras has its own from 3.14 on

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("srlib", name="BatchNormalization")  # under which saved networks know it
class FusedBatchNormalization(layers.BatchNormalization):
    """Keras' BatchNormalization (Ioffe and Szegedy 2015, algorithm 1) by TensorFlow's fused kernel.

    Keras 3 composes it of many small steps in float32, which take a third of SRResNet's step on a CPU. The
    kernel makes one pass over the half-precision images and sums in float32. Its running variance is the
    unbiased one, larger by n / (n - 1), where n counts the positions of the batch. On several replicas of
    `tf.distribute` the batch is the global one: they share their means, so that the result depends on no number
    of replicas (taught in chapter 06).
    """

    def call(self, x, training=False):
        training = training and self.trainable
        context = tf.distribute.get_replica_context()
        if training and context and context.num_replicas_in_sync > 1:
            y, mean, variance = self.normalise_together(x, context)
        else:
            moments = {} if training else {"mean": self.moving_mean.value, "variance": self.moving_variance.value}
            y, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(
                x, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=training, **moments
            )
        if training:
            for running, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                running.assign(self.momentum * running + (1.0 - self.momentum) * new)
        return y

    def normalise_together(self, x, context):
        """What the kernel returns, for this replica's share x, (N, H, W, C), of the global batch; shares are equal."""
        images = tf.cast(x, "float32")
        (mean,) = context.all_reduce("MEAN", [tf.reduce_mean(images, [0, 1, 2])])
        (variance,) = context.all_reduce("MEAN", [tf.reduce_mean(tf.square(images - mean), [0, 1, 2])])
        y = tf.nn.batch_normalization(images, mean, variance, self.beta.value, self.gamma.value, self.epsilon)
        count = tf.cast(tf.size(x) // x.shape[-1] * context.num_replicas_in_sync, "float32")
        return tf.cast(y, x.dtype), mean, variance * count / (count - 1.0)


@keras.saving.register_keras_serializable("srlib")
class ClipAtInference(layers.Layer):
    """Clip to [0, 1] at inference only: in training, a clipped pixel would send no gradient back."""

    def call(self, x, training=False):
        return x if training else keras.ops.clip(x, 0.0, 1.0)


@keras.saving.register_keras_serializable("srlib")
class BicubicUpsampling(layers.Layer):
    """Fixed 4x bicubic upsampling as a convolution and a pixel shuffle, so that every export knows it.

    Equals `data.upscale` (before its clipping) except within 8 pixels of the border, where the image
    is mirrored.
    """

    def build(self, shape):
        taps = data.resize_weights(9, 9 * data.SCALE)[4 * data.SCALE : 5 * data.SCALE, 2:7]  # (4, 5)
        kernel = np.zeros((5, 5, 3, data.SCALE, data.SCALE, 3), "float32")
        for channel in range(3):
            kernel[:, :, channel, :, :, channel] = np.einsum("iy,jx->yxij", taps, taps)
        self.kernel = kernel.reshape(5, 5, 3, -1)

    def call(self, x):
        x = keras.ops.pad(keras.ops.cast(x, "float32"), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="symmetric")
        return tf.nn.depth_to_space(keras.ops.conv(x, self.kernel, padding="valid"), data.SCALE)


@keras.saving.register_keras_serializable("srlib")
class ICNR(keras.initializers.Initializer):
    """Start a convolution before `PixelShuffle` so that it upsamples like nearest neighbour.

    All r^2 sub-pixels of an output channel begin with the same kernel, hence without a checkerboard
    (Aitken et al. 2017, section 3).
    """

    def __init__(self, factor=2, seed=None):
        self.factor = factor
        self.base = keras.initializers.HeUniform(seed=seed)

    def __call__(self, shape, dtype=None, **kwargs):
        small = self.base((*shape[:-1], shape[-1] // self.factor**2), dtype=dtype)
        return keras.ops.tile(small, (1, 1, 1, self.factor**2))

    def get_config(self):
        return {"factor": self.factor}


def conv(filters, kernel_size=3, strides=1, **kwargs):
    """A `Conv2D` with 'same' padding: the brick of every network here."""
    return layers.Conv2D(filters, kernel_size, strides, padding="same", **kwargs)


def to_float32(x):
    """Leave half precision before the image: the last sums are made in float32."""
    return layers.Activation("linear", dtype="float32")(x)


def image_input():
    """The input of every generator: LR images of any size."""
    return keras.Input((None, None, 3), name="lr")


def as_generator(name, inputs, x):
    """The model from `inputs` to `x`, in float32 and, at inference, clipped to [0, 1]."""
    return keras.Model(inputs, ClipAtInference(dtype="float32", name="image")(to_float32(x)), name=name)


def srcnn():
    """SRCNN 9-1-5: three convolutions on the bicubically enlarged image (Dong et al. 2014, section 3)."""
    inputs = image_input()
    x = BicubicUpsampling(dtype="float32")(inputs)
    x = conv(64, 9, activation="relu")(x)  # patch extraction
    x = conv(32, 1, activation="relu")(x)  # non-linear mapping
    return as_generator("srcnn", inputs, conv(3, 5)(x))  # reconstruction


def dcgan_unit(x, filters):
    """A residual unit of the DCGAN: conv-BN-LeakyReLU-conv-BN plus 1x1 conv-BN; LeakyReLU after the sum."""
    y = layers.LeakyReLU(0.2)(FusedBatchNormalization()(conv(filters)(x)))
    y = FusedBatchNormalization()(conv(filters)(y))
    skip = FusedBatchNormalization()(conv(filters, 1)(x))
    total = layers.Add(dtype="float32")([y, skip])  # bfloat16 would round what six units add up
    return layers.LeakyReLU(0.2, dtype="float32")(total)


def dcgan_generator(published=False):
    """The DCGAN's generator: six residual units at 32x32, two nearest-neighbour upsamplings, tanh.

    In the manner of DCGAN (Radford et al. 2016). It works in [-1, 1]; this model converts at both ends.
    published: as its author's code built it, without the LeakyReLU after the first upsampling, which was created
    there and never added; without it, two convolutions in a row are one affine map.
    """
    inputs = image_input()
    x = layers.Rescaling(2.0, -1.0, dtype="float32")(inputs)  # and the image itself
    x = layers.LeakyReLU(0.2, dtype="float32")(conv(64, 7, dtype="float32")(x))
    for filters in (256, 256, 128, 128, 64, 64):
        x = dcgan_unit(x, filters)
    x = FusedBatchNormalization()(conv(64)(layers.UpSampling2D(2)(x)))
    if not published:
        x = layers.LeakyReLU(0.2)(x)
    x = conv(3, 9, dtype="float32")(layers.UpSampling2D(2)(x))  # its output is the image: bfloat16 would round it
    x = layers.Activation("tanh", dtype="float32")(x)
    return as_generator("dcgan", inputs, layers.Rescaling(0.5, 0.5, dtype="float32")(x))


def srresnet_block(x, filters=64):
    """Conv-BN-PReLU-Conv-BN plus the identity (Ledig et al. 2017, figure 4).

    The last scale starts at zero, so that every block starts as the identity (Goyal et al. 2017, section 5.1).
    """
    y = FusedBatchNormalization()(conv(filters)(x))
    y = layers.PReLU(shared_axes=[1, 2])(y)
    y = FusedBatchNormalization(gamma_initializer="zeros")(conv(filters)(y))
    return layers.Add()([x, y])


def srresnet(blocks=16, filters=64):
    """SRResNet, also SRGAN's generator (Ledig et al. 2017, figure 4): 9x9 head, blocks, two pixel shuffles."""
    inputs = image_input()
    x = head = layers.PReLU(shared_axes=[1, 2])(conv(filters, 9)(layers.Rescaling(1.0, -0.5)(inputs)))
    for _ in range(blocks):
        x = srresnet_block(x, filters)
    x = layers.Add()([head, FusedBatchNormalization(gamma_initializer="zeros")(conv(filters)(x))])
    for _ in range(2):
        x = PixelShuffle(2)(conv(4 * filters, kernel_initializer=ICNR(2))(x))
        x = layers.PReLU(shared_axes=[1, 2])(x)
    x = conv(3, 9, dtype="float32")(x)  # its output is the image itself: bfloat16 would round it
    return as_generator("srresnet", inputs, layers.Rescaling(1.0, 0.5, dtype="float32")(x))


def edsr_block(x, filters=64):
    """Conv-ReLU-Conv plus the identity; no BatchNorm (Lim et al. 2017, figure 2c).

    The second convolution starts small, so that a deep stack starts near the identity: what BatchNorm
    gave SRResNet, and what the paper's factor 0.1 gives the large EDSR.
    """
    small = keras.initializers.VarianceScaling(0.1)
    y = conv(filters, activation="relu")(x)
    return layers.Add()([x, conv(filters, kernel_initializer=small)(y)])


def edsr_trunk(x, blocks, filters):
    """What EDSR does at LR size: a convolution, residual blocks, a convolution, and a skip around both."""
    x = head = conv(filters)(layers.Rescaling(1.0, -0.5)(x))  # the mean colour is subtracted at the door
    for _ in range(blocks):
        x = edsr_block(x, filters)
    return layers.Add()([head, conv(filters)(x)])


def edsr(blocks=16, filters=64):
    """EDSR, baseline size (Lim et al. 2017, section 3.2)."""
    inputs = image_input()
    x = edsr_trunk(inputs, blocks, filters)
    for _ in range(2):
        x = PixelShuffle(2)(conv(4 * filters, kernel_initializer=ICNR(2))(x))
    x = to_float32(conv(3)(x))
    return as_generator("edsr", inputs, layers.Rescaling(1.0, 0.5, dtype="float32")(x))


def facesr(blocks=16, filters=64, tail=(32, 16)):
    """Our network: EDSR's blocks at 32x32, a light tail, and a bicubic skip.

    It spends its FLOPs where a pixel is cheapest (at LR size) and learns only what bicubic lacks.
    tail: channels after each 2x pixel shuffle; an empty tail shuffles 4x at once (the light sibling).
    """
    inputs = image_input()
    x = edsr_trunk(inputs, blocks, filters)
    for width in tail:
        x = PixelShuffle(2)(conv(4 * width, kernel_initializer=ICNR(2))(x))
        x = layers.ReLU()(x)
    if tail:
        x = conv(3, kernel_initializer="zeros")(x)  # zeros: training starts at bicubic exactly
    else:
        x = PixelShuffle(data.SCALE)(conv(3 * data.SCALE**2, kernel_initializer="zeros")(x))
    skip = BicubicUpsampling(dtype="float32", name="bicubic")(inputs)
    return as_generator("facesr", inputs, layers.Add(dtype="float32")([skip, to_float32(x)]))


def facesr_light():
    """Our network's light sibling: 172 thousand parameters, an eighth of its FLOPs."""
    return facesr(blocks=8, filters=32, tail=())


def dcgan_discriminator(published=False):
    """The DCGAN's discriminator: five convolutions to 8x8, 1,024 features a position, global average, one logit.

    Made for whole 128x128 faces; thanks to the average it takes any size. published: as its author's code built it.
    LeakyReLU follows the first convolution only: five more were created and never added, and none was made for the
    dense layer. Between the last BatchNormalization and the logit then stand only a mean and an affine map, so the mean
    logit of a training batch does not depend on its images (chapter 02). The DCGAN ends in a sigmoid, which here is
    part of the loss. Returns logits (N, 1).
    """

    def activation(x):
        return x if published else layers.LeakyReLU(0.2)(x)

    inputs = keras.Input((None, None, 3), name="image")
    x = layers.LeakyReLU(0.2)(conv(64)(layers.Rescaling(2.0, -1.0)(inputs)))
    for filters in (64, 128, 256, 512):
        x = activation(FusedBatchNormalization()(conv(filters, strides=2)(x)))
    x = activation(FusedBatchNormalization()(conv(256)(x)))
    x = activation(FusedBatchNormalization()(layers.Dense(1024)(x)))
    logits = layers.Dense(1, dtype="float32", name="logit")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, logits, name="dcgan_discriminator")


def srgan_discriminator(filters=64):
    """SRGAN's discriminator (Ledig et al. 2017, figure 4), with global average pooling.

    The paper flattens its last feature map into a dense layer of 1,024 units (33.6 M weights for 128x128
    images, and a fixed image size); we average over positions first. Returns logits (N, 1).
    """
    inputs = keras.Input((None, None, 3), name="image")
    x = layers.LeakyReLU(0.2)(conv(filters)(layers.Rescaling(2.0, -1.0)(inputs)))
    for width, strides in ((1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)):
        x = FusedBatchNormalization()(conv(width * filters, 3, strides)(x))
        x = layers.LeakyReLU(0.2)(x)
    x = layers.LeakyReLU(0.2)(layers.Dense(1024)(layers.GlobalAveragePooling2D()(x)))
    return keras.Model(inputs, layers.Dense(1, dtype="float32", name="logit")(x), name="srgan_discriminator")


def patch_discriminator(filters=32, depth=4):
    """Spectrally normalised discriminator that judges patches: a logit every 16 pixels, each of which sees 112x112.

    Each level is a 3x3 convolution and 2x2 average pooling instead of a strided convolution: pooling
    looks at every pixel alike, so it does not teach the generator a checkerboard. Beside the image it gets
    a magnified copy of its fine detail, in which a faint grid is loud. Spectral normalisation (Miyato et al.
    2018) bounds the slope of every convolution; patches are pix2pix's (Isola et al. 2017).
    Returns (N, H/16, W/16, 1).
    """

    def bounded(width, **kwargs):
        # float32: the wrapper rewrites its kernel at every training pass, and would round it to bfloat16
        return layers.SpectralNormalization(conv(width, **kwargs), dtype="float32")

    inputs = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(2.0, -1.0)(inputs)
    detail = layers.Subtract()([x, layers.AveragePooling2D(3, strides=1, padding="same")(x)])
    x = layers.Concatenate()([x, layers.Rescaling(8.0)(detail)])  # a faint grid is loud here
    for level in range(depth):
        x = layers.LeakyReLU(0.2)(bounded(filters * min(2**level, 8))(x))
        x = layers.AveragePooling2D(2)(x)
    x = layers.LeakyReLU(0.2)(bounded(filters * 8)(x))
    logits = bounded(1)(x)
    return keras.Model(inputs, to_float32(logits), name="patch_discriminator")


def flops(model, height=32, width=32):
    """Multiplications and additions of every convolution and dense layer, for one image of that size.

    height, width: of the model's input. Returns a list of (layer name, output height, FLOPs). What costs
    little is left out: activations, normalisation, additions, the fixed bicubic skip.
    """
    sized = [
        layer for layer in model.layers if isinstance(getattr(layer, "layer", layer), (layers.Conv2D, layers.Dense))
    ]
    shapes = keras.Model(model.inputs, [layer.output for layer in sized]).compute_output_shape((1, height, width, 3))
    counts = []
    for layer, shape in zip(sized, shapes):
        kernel = getattr(layer, "layer", layer)  # inside SpectralNormalization
        height = shape[1] if len(shape) == 4 else 1
        counts.append((layer.name, height, 2 * math.prod(shape[1:-1]) * math.prod(kernel.kernel.shape)))
    return counts


def gflops(model, size=32):
    """Billions of operations of one forward pass on one `size` x `size` image: the sum of `flops`."""
    return sum(count for _, _, count in flops(model, size, size)) / 1e9


def recast(model, policy):
    """The same network with the same weights, computing under another dtype policy, `float32` or `mixed_bfloat16`.

    Its weights are float32 whatever the policy, so that "float32" is what the network was meant to be. A layer that was
    built in float32 stays so.
    """

    def renewed(layer):
        dtype = "float32" if layer.dtype_policy.name == "float32" else policy
        return type(layer).from_config(layer.get_config() | {"dtype": dtype})

    twin = keras.models.clone_model(model, clone_function=renewed)
    twin.set_weights(model.get_weights())
    return twin


GENERATORS = {  # network of the benchmark: the function that builds it
    "srcnn": srcnn,
    "dcgan-published": lambda: dcgan_generator(published=True),
    "dcgan": dcgan_generator,
    "dcgan-mse": dcgan_generator,
    "dcgan-perceptual": dcgan_generator,
    "srresnet": srresnet,
    "srgan": srresnet,
    "edsr": edsr,
    "facesr": facesr,
    "facesr-gan": facesr,
    "facesr-light": facesr_light,
    "facesr-light-gan": facesr_light,
}
GENERATORS |= {f"light-{loss}": facesr_light for loss in ("l1", "mse", "perceptual", "adversarial", "all")}


__getattr__ = runtime.renamed(__name__, BatchNormalization="models.FusedBatchNormalization")
