"""A failure made small: fewer faults, then a shorter run, as long as the same rule breaks.

Owns the search. Refuses other labs: the lab belongs to the seed. Every fault acts by itself, so leaving one
out changes nothing about the others, and greedy removal ends at a list from which no single one can go.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.soak.histories import WATCHED_S, Case, Told, drawn, play

SHORTER: Final = (0.5, 0.7, 0.85, 0.95)
"""Shares of the present length that are tried, the shortest first."""
SHORTEST_S: Final = 0.05


def shrink(case: Case, rule: str, run: Callable[[Case], Told] = play) -> Case:
    """The smallest case that was found to break the same rule. case: one that breaks it."""
    faults = drawn(case)[1]
    smallest = replace(case, faults=faults)
    removed = True
    while removed:
        removed = False
        for fault in faults:
            fewer = replace(smallest, faults=tuple(one for one in faults if one is not fault))
            if run(fewer).rule == rule:
                smallest, removed = fewer, True
                faults = fewer.faults or ()
                break
    shorter = True
    while shorter and smallest.until_s > SHORTEST_S:
        shorter = False
        for share in SHORTER:
            cut = replace(smallest, until_s=round(smallest.until_s * share, 3))
            if run(cut).rule == rule:
                smallest, shorter = cut, True
                break
    return smallest


def replay_line(case: Case) -> str:
    """The command that plays this case again, whatever it was shrunk to."""
    words = ["bellwire soak", f"--first {case.seed}", "--seeds 1", f"--profile {case.profile}"]
    if case.faults is not None:
        everything = drawn(replace(case, faults=None))[1]
        kept = [str(number) for number, fault in enumerate(everything) if fault in case.faults]
        if len(kept) < len(everything):
            words.append(f"--faults {','.join(kept) or 'none'}")
    if case.until_s != WATCHED_S:
        words.append(f"--seconds {case.until_s:g}")
    return " ".join(words)


def with_faults(case: Case, numbers: tuple[int, ...] | None) -> Case:
    """The case with only these of its faults, by their place in the list; None: all.

    Raises:
        ConfigError: the seed draws no such fault.
    """
    if numbers is None:
        return case
    everything = drawn(case)[1]
    strange = [number for number in numbers if not 0 <= number < len(everything)]
    if strange:
        raise ConfigError(
            f"seed {case.seed} draws {len(everything)} faults, from 0 on: there is no {strange[0]}"
        )
    return replace(case, faults=tuple(everything[number] for number in numbers))
