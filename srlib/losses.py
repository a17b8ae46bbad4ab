"""Loss terms for super-resolution, and how they are weighed. Taught in chapter 03.

Images: float32 (N, H, W, 3) in [0, 1]; every loss is a scalar, `feature_distances` are one number an image.
"""

import numpy as np

from . import runtime
from .backend import keras, tf

ops = keras.ops


def to_float32(x):
    """Losses are summed in float32: half precision has too few digits for a mean of 49,152 terms."""
    return ops.cast(x, "float32")


def l1_loss(hr, sr):
    """Mean absolute error over pixels and channels."""
    return ops.mean(ops.abs(to_float32(hr) - to_float32(sr)))


def mse_loss(hr, sr):
    """Mean squared error over pixels and channels."""
    return ops.mean(ops.square(to_float32(hr) - to_float32(sr)))


def lattice_loss(hr, sr, period=4, cells=4):
    """How much of the error repeats with the upsampling lattice: zero without a checkerboard.

    Sub-pixel (i, j) of every `period` x `period` cell belongs to one phase. The error is averaged per phase over
    windows of `cells` x `cells` cells, where texture averages out and a grid does not; the loss is the mean
    absolute deviation of the phases from their common mean. hr, sr: (N, H, W, 3), H and W multiples of `period`; both
    have their lattice begin at the upper left pixel, and what lies beyond the last whole window is not looked at.
    Raises `ValueError` for images smaller than a window. Taught in chapter 04.
    """
    if min(hr.shape[1], hr.shape[2]) < period * cells:
        raise ValueError(
            f"images are {tuple(hr.shape)}; the lattice loss needs at least {period * cells} pixels a side"
        )
    phases = tf.nn.space_to_depth(to_float32(sr) - to_float32(hr), period)
    windows = ops.average_pool(phases, cells)
    windows = ops.reshape(windows, (-1, period**2, 3))
    return ops.mean(ops.abs(windows - ops.mean(windows, axis=1, keepdims=True)))


def batch_spectrum(images):
    """Mean power spectrum of a batch, smoothed over 3x3 frequencies: (N, H, W, 3) -> (H, W), frequency zero at [0, 0].

    The luma (BT.601 weights) under a Hann window; see `metrics.power_spectrum`.
    """
    luma = ops.tensordot(to_float32(images), [0.299, 0.587, 0.114], 1)
    window = np.outer(*map(np.hanning, images.shape[1:3])).astype("float32")
    spectrum = tf.signal.fft2d(tf.cast(window * luma, "complex64"))
    power = ops.mean(tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum)), axis=0)
    return sum(tf.roll(power, (ky, kx), (0, 1)) for ky in (-1, 0, 1) for kx in (-1, 0, 1)) / 9.0


def spectral_loss(hr, sr, above=0.2):
    """Mean absolute difference of the logarithms of two batches' power spectra, at their fine frequencies.

    After Durall et al. (2020, section 3.2), who compare rings; here each direction counts, because a pattern that a
    network lays over every face stands at a few of them. hr, sr: (N, H, W, 3) of known size. above: of the frequencies
    that count, in periods per pixel; an input of a quarter of the size can hold 0.125. One batch says little about one
    face: the term is blind to where in the image, and in which face, the power is. Taught in chapter 04.
    """
    ky, kx = (np.fft.fftfreq(side) for side in hr.shape[1:3])
    fine = np.hypot(ky[:, None], kx) > above
    difference = ops.log(batch_spectrum(hr) + 1e-6) - ops.log(batch_spectrum(sr) + 1e-6)  # 8 bits round by about 1e-3
    return ops.sum(ops.abs(difference) * fine) / fine.sum()


def binary_cross_entropy(logits, labels):
    """Mean of -y log D - (1 - y) log(1 - D), where D = sigmoid(logit), computed from the logits.

    labels: y in [0, 1], a number or a tensor that broadcasts to the logits. softplus(-l) is -log sigmoid(l) without
    the overflow.
    """
    logits = to_float32(logits)
    return ops.mean(labels * ops.softplus(-logits) + (1.0 - labels) * ops.softplus(logits))


def discriminator_loss(real_logits, fake_logits, real_labels=1.0, fake_labels=0.0):
    """Binary cross-entropy of the discriminator, from logits: real is 1, fake is 0.

    Half the sum of both parts, so that a discriminator that only guesses has loss ln 2 = 0.693
    (Goodfellow et al. 2014, eq. 1). logits: any shape. labels: smoothed ones, if wanted.
    """
    return 0.5 * (binary_cross_entropy(real_logits, real_labels) + binary_cross_entropy(fake_logits, fake_labels))


def generator_loss(fake_logits, labels=1.0):
    """Non-saturating loss of the generator, -log D(fake) (Goodfellow et al. 2014, section 3); ln 2 at a draw."""
    return binary_cross_entropy(fake_logits, labels)


def normalise_features(features):
    """Divide each position's feature vector by its length over channels, as LPIPS does; float32."""
    features = to_float32(features)
    return features * ops.rsqrt(ops.sum(ops.square(features), axis=-1, keepdims=True) + 1e-10)


def feature_distances(features, hr, sr):
    """Distance per image, float32 (N,): squared difference of channel-normalised VGG features.

    Summed over channels, averaged over positions, summed over taps: LPIPS (Zhang et al. 2018, eq. 1)
    without its learned heads. It is not LPIPS, and its values do not compare with LPIPS values.
    """
    terms = []
    for real, fake in zip(keras.tree.flatten(features(hr)), keras.tree.flatten(features(sr))):
        difference = ops.square(normalise_features(real) - normalise_features(fake))
        terms.append(ops.mean(ops.sum(difference, axis=-1), axis=(1, 2)))
    return ops.sum(ops.stack(terms), axis=0)


def perceptual_loss(features, hr, sr):
    """Mean of `feature_distances` over the batch (after Johnson et al. 2016, section 3.2)."""
    return ops.mean(feature_distances(features, hr, sr))


def pixel_gradients(terms, sr):
    """The gradient of each loss term with respect to the SR pixels: a dict of float32 arrays, shaped like sr.

    terms: dict name -> function of sr that returns a scalar. sr: float32 (N, H, W, 3). Raises `AttributeError` for a
    term that does not depend on sr.
    """
    sr, gradients = tf.constant(sr), {}
    for name, term in terms.items():
        with tf.GradientTape() as tape:
            tape.watch(sr)
            loss = term(sr)
        gradients[name] = tape.gradient(loss, sr).numpy()
    return gradients


def gradient_norms(gradients):
    """The Euclidean length of each gradient: a dict name -> float."""
    return {name: float(np.linalg.norm(gradient)) for name, gradient in gradients.items()}


def balance(norms, shares):
    """Weights under which each term pulls at the pixels with its share; the first term's weight is 1.

    norms: of `gradient_norms`. shares: dict name -> positive number, in any unit. Raises `KeyError` for an unknown
    name, and `ValueError` for a term without a gradient, which no weight can give a share.
    """
    for name in shares:
        if not (np.isfinite(norms[name]) and norms[name] > 0):
            raise ValueError(f"the gradient of {name!r} has norm {norms[name]}: no weight can balance it")
    first = next(iter(shares))
    unit = norms[first] / shares[first]
    return {name: unit * share / norms[name] for name, share in shares.items()}


__getattr__ = runtime.renamed(__name__, vgg_features="vgg.features", VGG_TAPS="vgg.TAPS")
