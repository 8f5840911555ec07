"""Textbook chains as labs, and their exact waiting times (algorithms.md 12.1). Independent of bellwire's
planner.

Formulas: two segments with and without cutoff (Collins et al. 2007; Brask et al.), doubling by convolution of
distributions (Brand, Coopmans, Elkouss, arXiv 1912.07688).
"""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile

SLOT_US = 100


def chain_lab(
    segments: int,
    p: float,
    swap_p: float,
    *,
    cutoff_attempts: int | None = None,
    mode: str = "fixed_tree",
    rounds: bool = True,
) -> Lab:
    """A chain of ideal memories, one pair a link, no classical delay."""
    memory = {
        "t1_s": None,
        "t2_s": None,
        "gate_fidelity": 1,
        "single_gate_fidelity": 1,
        "readout_fidelity": 1,
        "bsm_success_probability": swap_p,
        "bsm_duration_us": 0,
    }
    names = [f"n{index}" for index in range(segments + 1)]
    nodes = {
        name: {"role": "end" if name in (names[0], names[-1]) else "repeater", "memory": memory}
        for name in names
    }
    attempt = {"period_us": SLOT_US, "success_probability": p, "fidelity": 0.98}
    links = {
        f"{one}-{two}": {"nodes": (one, two), "attempt": attempt} for one, two in itertools.pairwise(names)
    }
    request: dict[str, Any] = {
        "id": "pairs",
        "from": names[0],
        "to": names[-1],
        "duration_s": 100_000,
        "mode": mode,
        "rounds": rounds,
        "consumption": "measure",
    }
    if cutoff_attempts is not None:
        request["cutoff_attempts"] = cutoff_attempts
    return build_lab(
        LabFile.model_validate(
            {
                "lab": f"chain_{segments}",
                "description": "a textbook chain",
                "nodes": nodes,
                "links": links,
                "classical": {"delay": "zero"},
                "requests": (request,),
            }
        )
    )


def two_segments(p: float, swap_p: float) -> float:
    """Mean attempts per pair without cutoff."""
    return (3 - 2 * p) / (p * (2 - p) * swap_p)


def two_segments_with_cutoff(p: float, swap_p: float, attempts: int) -> float:
    """Mean attempts per pair when the first link waits at most `attempts` further attempts for the second."""
    u = 1 - p
    s = 1 - u * u
    y = 2 * p * u / s
    return (1 / s + y * (1 - u**attempts) / p) / ((1 - y * u**attempts) * swap_p)


def doubling(p: float, swap_p: float, levels: int, length: int = 20_000) -> float:
    """Mean attempts per pair over 2**levels segments; both halves restart when a swap fails."""
    steps = np.arange(1, length + 1)
    pmf: NDArray[np.float64] = np.concatenate(([0.0], p * (1 - p) ** (steps - 1)))
    size = 1 << (2 * (length + 1)).bit_length()
    for _ in range(levels):
        both = np.diff(np.cumsum(pmf) ** 2, prepend=0.0)
        # f = p_s m + (1 - p_s) m * f, solved in the frequency domain; the tail beyond `length` is negligible.
        spectrum = np.fft.rfft(both, size)
        pmf = np.fft.irfft(swap_p * spectrum / (1 - (1 - swap_p) * spectrum), size)[: length + 1]
    return float(np.sum(np.arange(length + 1) * pmf))
