"""Tests run on the bundled photos, in the smallest profile, and keep their files to themselves."""

import os
import tempfile

import pytest

os.environ.setdefault("SRLIB_PROFILE", "smoke")
os.environ.setdefault("SRLIB_DATA", "sample")
for name in ("SRLIB_HOME", "SRLIB_CACHE"):
    os.environ.setdefault(name, tempfile.mkdtemp(prefix="srlib-tests-"))


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.slow)
