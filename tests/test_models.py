"""Generators, discriminators and layers: shapes, starts, definitions."""

import keras
import numpy as np
import pytest

from srlib import data, models, photos, runtime


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.mark.parametrize("name", models.GENERATORS)
def test_generators_take_any_size_from_eight(name):
    model = models.GENERATORS[name]()
    for height, width in ((8, 8), (9, 13)):
        image = np.asarray(model(np.random.default_rng(0).random((1, height, width, 3), "float32")))
        assert image.shape == (1, 4 * height, 4 * width, 3) and image.dtype == np.float32
        assert image.min() >= 0 and image.max() <= 1


@pytest.mark.parametrize("name", ["facesr", "srresnet", "facesr-light"])
def test_generators_survive_saving_in_safe_mode(name, tmp_path):
    model = models.GENERATORS[name]()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    lr = np.random.default_rng(0).random((1, 8, 8, 3), "float32")
    np.testing.assert_array_equal(model(lr), again(lr))


def test_training_does_not_clip_but_inference_does():
    layer = models.ClipAtInference()
    values = np.array([-1.0, 0.5, 2.0], "float32")
    np.testing.assert_array_equal(layer(values, training=True), values)
    np.testing.assert_array_equal(layer(values), [0, 0.5, 1])


@pytest.mark.parametrize("training", [True, False])
def test_the_fused_batch_normalization_equals_keras_own(training):
    x = np.random.default_rng(0).normal(0.3, 2, (4, 8, 8, 5)).astype("float32")
    ours, theirs = models.FusedBatchNormalization(momentum=0.8), keras.layers.BatchNormalization(momentum=0.8)
    for layer in (ours, theirs):
        layer.build(x.shape)
        layer.set_weights(
            [np.linspace(0.5, 2, 5), np.linspace(-1, 1, 5), np.linspace(-0.5, 0.5, 5), np.linspace(1, 3, 5)]
        )
    np.testing.assert_allclose(ours(x, training=training), theirs(x, training=training), atol=2e-6)
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, atol=1e-6)
    old = np.linspace(1, 3, 5)
    new = 0.8 * old + 0.2 * x.var(axis=(0, 1, 2), ddof=1) if training else old  # unbiased
    np.testing.assert_allclose(ours.moving_variance, new, rtol=1e-5)


def test_a_frozen_batch_normalization_collects_no_averages():
    layer = models.FusedBatchNormalization()
    x = np.ones((2, 4, 4, 3), "float32")
    layer.trainable = False
    layer(x, training=True)
    np.testing.assert_array_equal(layer.moving_mean, 0)


def test_pixel_shuffle_equals_its_definition():
    x = np.random.default_rng(0).random((2, 3, 5, 12), "float32")
    expected = x.reshape(2, 3, 5, 2, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 6, 10, 3)
    np.testing.assert_array_equal(models.PixelShuffle(2)(x), expected)


def test_bicubic_layer_equals_the_baseline_inside_the_border():
    lr = data.degrade(data.to_float(photos.portraits()))
    layer = np.asarray(models.BicubicUpsampling()(lr))
    baseline = data.resize(lr, (128, 128))
    np.testing.assert_allclose(layer[:, 8:-8, 8:-8], baseline[:, 8:-8, 8:-8], atol=1e-5)


@pytest.mark.parametrize("name", ["facesr", "facesr-light"])
def test_facesr_starts_at_bicubic(name):
    lr = data.degrade(data.to_float(photos.portraits()))
    model = models.GENERATORS[name]()
    np.testing.assert_allclose(model(lr)[:, 8:-8, 8:-8], data.upscale(lr)[:, 8:-8, 8:-8], atol=1e-5)


def test_icnr_starts_as_nearest_neighbour():
    """A constant feature map stays constant through convolution and shuffle: no checkerboard."""
    layer = keras.layers.Conv2D(16, 3, kernel_initializer=models.ICNR(2))
    out = np.asarray(models.PixelShuffle(2)(layer(np.ones((1, 6, 6, 8), "float32"))))
    np.testing.assert_allclose(out, np.broadcast_to(out[:, :1, :1], out.shape), atol=1e-6)


def test_parameter_counts():
    counts = {name: build().count_params() for name, build in models.GENERATORS.items()}
    assert counts["srcnn"] == 9 * 9 * 3 * 64 + 64 + 64 * 32 + 32 + 5 * 5 * 32 * 3 + 3
    assert counts["facesr-light"] <= 250_000
    assert counts["srresnet"] == counts["srgan"] and counts["facesr"] == counts["facesr-gan"]


@pytest.mark.parametrize(
    "build, shape", [(models.srgan_discriminator, (1, 1)), (models.patch_discriminator, (1, 4, 6, 1))]
)
def test_discriminators_take_any_size(build, shape):
    assert build()(np.zeros((1, 64, 96, 3), "float32")).shape == shape


# --- the DCGAN --------------------------------------------------------------------------------------


def kinds(model, *names):
    """The layers of a model in order, those of the given kinds, as one letter each."""
    letters = {"Conv2D": "c", "Dense": "d", "FusedBatchNormalization": "b", "LeakyReLU": "a", "UpSampling2D": "u"}
    letters |= {"Add": "+", "Activation": "t", "GlobalAveragePooling2D": "g"}
    return "".join(letters.get(type(layer).__name__, "") for layer in model.layers if layer.name != "image")


def test_the_dcgan_has_its_authors_layers():
    for published in (False, True):
        generator, discriminator = models.dcgan_generator(published), models.dcgan_discriminator(published)
        assert generator.count_params() == 3_057_539 and discriminator.count_params() == 3_040_961
        a = "" if published else "a"
        body = kinds(generator)
        assert (
            body.startswith("ca") and body.endswith(f"ucb{a}uctt") and body.count("+a") == 6
        )  # t: tanh, and to float32
        assert sorted(body[2 : body.index("u")]) == sorted("cbacbcb+a") * 1 or body.count("b") == 19
        assert kinds(discriminator) == "ca" + f"cb{a}" * 5 + f"db{a}" + "gd"
        convolutions = [layer for layer in generator.layers if isinstance(layer, keras.layers.Conv2D)]
        assert [(c.filters, c.kernel_size[0]) for c in convolutions if c.kernel_size[0] > 3] == [(64, 7), (3, 9)]
        mains = [c.filters for c in convolutions if c.kernel_size[0] == 1]
        assert mains == [256, 256, 128, 128, 64, 64]
        strided = [c for c in discriminator.layers if isinstance(c, keras.layers.Conv2D) and c.strides == (2, 2)]
        assert [c.filters for c in strided] == [64, 128, 256, 512]
        assert {layer.momentum for layer in generator.layers if "batch_norm" in layer.name} == {0.99}
        assert {
            round(layer.negative_slope, 3) for layer in generator.layers if type(layer).__name__ == "LeakyReLU"
        } == {0.2}


def with_activation(published, place):
    """The published discriminator with one LeakyReLU more, after its BatchNormalization number `place`."""
    inputs = keras.Input((None, None, 3))
    x, seen = inputs, 0
    for layer in published.layers[1:]:
        x = layer(x)
        if isinstance(layer, models.FusedBatchNormalization):
            x = keras.layers.LeakyReLU(0.2)(x) if seen == place else x
            seen += 1
    assert seen == 6
    return keras.Model(inputs, x)


def mean_logits(discriminator):
    """The mean logit of a batch of photos, of the same photos blurred, and of noise, as the game computes it."""
    rng = np.random.default_rng(1)
    crops = photos.portraits()[:, 16:112, 16:112]
    faces = data.to_float(np.concatenate([crops, crops[:, :, ::-1], crops[:, ::-1], crops.transpose(0, 2, 1, 3)]))
    blurred = data.resize(data.resize(faces, (12, 12)), (96, 96)).clip(0, 1)
    noise = rng.random(faces.shape, "float32")
    return np.array([np.mean(discriminator(images, training=True)) for images in (faces, blurred, noise)])


def shaken(discriminator):
    """With random BatchNormalization parameters, as training leaves them, and a last layer that counts."""
    rng = np.random.default_rng(0)
    for layer in discriminator.layers:
        if isinstance(layer, models.FusedBatchNormalization):
            layer.gamma.assign(rng.normal(1, 0.2, layer.gamma.shape))
            layer.beta.assign(rng.normal(0, 0.5, layer.beta.shape))
    discriminator.layers[-1].bias.assign([0.3])
    return discriminator


def test_the_published_discriminator_is_blind_to_a_batch():
    """Its mean logit does not depend on the images, nor send them a gradient; only the last activation helps."""
    tf = runtime.load_tensorflow()
    published, described = shaken(models.dcgan_discriminator(True)), shaken(models.dcgan_discriminator())
    beta, logit = published.layers[-3].beta, published.layers[-1]
    expected = float(np.squeeze(np.asarray(beta) @ np.asarray(logit.kernel) + np.asarray(logit.bias)))
    np.testing.assert_allclose(mean_logits(published), expected, atol=2e-5)
    assert np.ptp(mean_logits(described)) > 1e-3
    spread = [np.ptp(mean_logits(with_activation(published, place))) for place in range(6)]
    assert max(spread[:5]) < 4e-5 and spread[5] > 1e-3
    sizes = []
    for discriminator in (published, described):
        images = tf.constant(data.to_float(photos.portraits()))
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(images)
            logits = discriminator(images, training=True)
            mean, one = tf.reduce_mean(logits), logits[0, 0]
        sizes.append(np.linalg.norm(tape.gradient(mean, images)) / np.linalg.norm(tape.gradient(one, images)))
    assert sizes[0] < 1e-3 < 1e-2 < sizes[1], sizes


def test_spectral_normalisation_bounds_the_patch_discriminator():
    model = models.patch_discriminator()
    image = np.random.default_rng(0).random((1, 64, 64, 3), "float32")
    for _ in range(30):
        model(image, training=True)
    for layer in model.layers:
        if isinstance(layer, keras.layers.SpectralNormalization):
            matrix = np.asarray(layer.layer.kernel)
            largest = np.linalg.svd(matrix.reshape(-1, matrix.shape[-1]), compute_uv=False)[0]
            assert largest < 1.1


def test_gflops_by_hand():
    inputs = keras.Input((None, None, 3))
    x = models.conv(8, 3, strides=2)(inputs)  # 16x16 positions of 3*3*3*8
    model = keras.Model(inputs, models.conv(3, 1)(x))  # 16x16 positions of 8*3
    expected = 2 * (256 * 216 + 256 * 24) / 1e9
    assert models.gflops(model) == pytest.approx(expected)
    assert models.gflops(model, size=64) == pytest.approx(4 * expected)


def test_gflops_of_srresnet():
    # 16 blocks of two 3x3 convolutions of 64 channels at 32x32, and one more; a 9x9 head and a 9x9 tail at
    # 128x128; two convolutions to 256 channels, at 32x32 and at 64x64
    macs = 1024 * (33 * 9 * 64 * 64 + 81 * 3 * 64 + 9 * 64 * 256) + 4096 * 9 * 64 * 256 + 16384 * 81 * 64 * 3
    assert models.gflops(models.srresnet()) == pytest.approx(2 * macs / 1e9, rel=1e-6)
