"""Pairs of two channels counted by pycorrelate and by tttrlib, for bench/time_tags.py.

Runs in an environment of its own. Owns the words of both: pycorrelate counts pairs in bins of delay,
tttrlib's correlator (method felekyan, one cascade) in bins of one tick from 0 on.

Usage: python tag_correlations.py PROGRAM FIRST.npy SECOND.npy LO_PS WIDTH_PS BINS ROUNDS
Prints one JSON line.
"""

import json
import statistics
import sys
import time
from importlib.metadata import version

import numpy as np


def by_pycorrelate(first, second, lo, width, bins):
    """Pairs by bin; pcorrelate divides by the width."""
    import pycorrelate

    edges = lo + width * np.arange(bins + 1)
    return lambda: round((pycorrelate.pcorrelate(first, second, edges) * width).sum())


def by_tttrlib(first, second, lo, width, bins):
    """Pairs by bin."""
    import tttrlib

    if lo != 0 or width != 1:
        raise SystemExit("tttrlib: bins of one tick from 0 on only")
    first, second = first.astype(np.uint64), second.astype(np.uint64)
    ones = np.ones(len(first)), np.ones(len(second))

    def run():
        correlator = tttrlib.Correlator(method="felekyan")
        correlator.n_bins, correlator.n_casc = bins, 1
        correlator.set_macrotimes(first, second)
        correlator.set_weights(*ones)
        correlator.run()
        return round(correlator.get_corr()[:bins].sum())

    return run


def main():
    program, one, other = sys.argv[1:4]
    lo, width, bins, rounds = map(int, sys.argv[4:])
    first, second = np.load(one), np.load(other)
    run = {"pycorrelate": by_pycorrelate, "tttrlib": by_tttrlib}[program](first, second, lo, width, bins)
    run()  # compiled where it compiles
    seconds = []
    for _ in range(rounds):
        began = time.process_time_ns()
        pairs = run()
        seconds.append((time.process_time_ns() - began) / 1e9)
    print(json.dumps({"pairs": int(pairs), "cpu_s": statistics.median(seconds), "version": version(program)}))


if __name__ == "__main__":
    main()
