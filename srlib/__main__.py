"""`python -m srlib` is the command `srlib`."""

import sys

from .commands import main

sys.exit(main())
