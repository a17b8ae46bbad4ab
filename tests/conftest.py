"""Tests run on the bundled photos, in the smallest profile, and keep their files to themselves."""

import os
import tempfile

os.environ.setdefault("SRLIB_PROFILE", "smoke")
os.environ.setdefault("SRLIB_DATA", "sample")
os.environ.setdefault("SRLIB_HOME", tempfile.mkdtemp(prefix="srlib-tests-"))
