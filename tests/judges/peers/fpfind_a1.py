"""fpfind's reader and writer of a1 files: arguments are the file to read, whether it is of the legacy order,
and the file to write in the same order; prints ticks of 1/256 ns and patterns as JSON."""

import json
import sys

import numpy as np
from fpfind.lib import parse_timestamps
from fpfind.lib.constants import TSRES

path, legacy, again = sys.argv[1], sys.argv[2] == "legacy", sys.argv[3]
times, patterns = parse_timestamps.read_a1(path, legacy=legacy, resolution=TSRES.PS4, fractional=False)
ticks = np.asarray(times).astype(np.uint64)
parse_timestamps.write_a1(again, ticks, patterns, legacy=legacy, resolution=TSRES.PS4)
json.dump({"ticks": ticks.tolist(), "patterns": np.asarray(patterns).tolist()}, sys.stdout)
