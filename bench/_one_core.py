"""One core for the numerical libraries of this process, whatever the machine has.

Owns the setting of their thread counts, which they read once when they load: import this before anything that
loads numpy. Refuses to be late.
"""

import os
import sys

if "numpy" in sys.modules:
    raise ImportError("_one_core must be imported before numpy, which has chosen its threads already")
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

THREADS = 1
"""Threads of each library, for the note of a result."""
