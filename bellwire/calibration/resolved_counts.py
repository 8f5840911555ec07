"""Pairs of a distribution link counted detector by detector, in a window that holds every pair.

Owns which detectors are all outcomes of one measurement, and what darks and dead times belong to them.
Refuses what follows from the counts (estimates/pair_rate.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bellwire.calibration.bench import LinkBench, Receiver
from bellwire.calibration.estimates.likelihood import Floats
from bellwire.calibration.estimates.pair_rate import ArmClicks, PairClicks, Sets
from bellwire.calibration.pair_counts import BASES, OFF_PEAK_WINDOWS, CoincidenceWindow
from bellwire.calibration.pairing import Times, Together, needs_two
from bellwire.calibration.work import Work

WHOLE_SIGMAS = 12.0
"""Full width of a window, in joint jitters, that holds the pairs of the slowest detectors, too."""


def outcome_sets(receiver: Receiver) -> Sets | None:
    """Its detectors by the measurement whose outcomes they are: one alone, or both of each basis; None: some
    belong to no whole basis.
    """
    if len(receiver.labels) == 1:
        return ((0,),)
    places = {label: index for index, label in enumerate(receiver.labels)}
    found = tuple(
        (places[plus], places[minus]) for plus, minus in BASES.values() if plus in places and minus in places
    )
    return found if 2 * len(found) == len(places) else None


def cannot_resolve(bench: LinkBench) -> str | None:
    """Why pairs of unlike detectors cannot be put together, or None."""
    if (why := needs_two(bench)) is not None:
        return why
    for receiver in bench.receivers:
        if outcome_sets(receiver) is None:
            return (
                f"the detectors of {receiver.name} are {', '.join(receiver.labels)}, neither one alone nor "
                "both outcomes of each basis (h and v, d and a)"
            )
    return None


def whole_window(work: Work) -> CoincidenceWindow:
    """Every pair is inside, whatever the window in force cuts off."""
    jitter = work.quantity("window", "jitter_ps") or work.needed("clock", "jitter_ps")
    return CoincidenceWindow(0.0, WHOLE_SIGMAS * jitter.value)


def pair_clicks(work: Work, looks: Sequence[Together]) -> PairClicks:
    """Counts of all looks together, at one setting of the light."""
    first, second = work.bench.receivers
    window = whole_window(work)

    def table(count: Callable[[Together, str, str], int]) -> Floats:
        """Of each detector of the first receiver with each of the second."""
        rows = [
            [sum(count(look, one, other) for look in looks) for other in second.labels]
            for one in first.labels
        ]
        return np.array(rows, dtype=np.float64)

    return PairClicks(
        sum(look.duration_s for look in looks),
        _arm(work, first, [look.first for look in looks]),
        _arm(work, second, [look.second for look in looks]),
        table(window.inside),
        table(window.beside),
        OFF_PEAK_WINDOWS,
    )


def _arm(work: Work, receiver: Receiver, looks: Sequence[Mapping[str, Times]]) -> ArmClicks:
    sets = outcome_sets(receiver)
    assert sets is not None
    dead = [work.quantity("dead_time", f"dead_ns.{receiver.name}.{label}") for label in receiver.labels]
    return ArmClicks(
        np.array([float(sum(look[label].size for look in looks)) for label in receiver.labels]),
        tuple(work.needed("darks", f"dark_hz.{receiver.name}.{label}") for label in receiver.labels),
        np.array([0.0 if one is None else 1e-9 * one.value for one in dead]),
        sets,
    )
