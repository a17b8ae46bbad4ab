"""TensorFlow and Keras, started once and quietly; every module that computes with them takes them from here."""

from . import runtime

tf = runtime.load_tensorflow()
import keras  # noqa: E402, F401
