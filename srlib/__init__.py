"""Face super-resolution with GANs: the small package behind the notebooks.

Import the module you need (`from srlib import data, models`). Modules that need TensorFlow import
it themselves, so that `import srlib` and `srlib.data` start quickly.
"""

__version__ = "0.1.0"
