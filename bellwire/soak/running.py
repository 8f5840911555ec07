"""Many seeds on all processors of a machine, with sums, failures made small, and a look for chance by order.

Owns what a run of many seeds says. Refuses single histories (histories.py) and drawing on screens.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from bellwire.core.errors import ConfigError
from bellwire.soak.histories import WATCHED_S, Case, Told, described, play
from bellwire.soak.shrinking import replay_line, shrink

FAILURES_SHOWN: Final = 10
"""Failures that are made small and described; all are counted."""
PLAYED_AGAIN_MAX: Final = 20
"""Seeds that another process with another hash seed plays once more."""


def results(cases: Sequence[Case], workers: int) -> Iterator[tuple[Case, Told]]:
    """What came of each case, as it comes."""
    if workers == 1:
        for case in cases:
            yield case, play(case)
        return
    from joblib import Parallel, delayed

    make: Any = Parallel  # annotated with the types of its defaults
    parallel = make(n_jobs=workers, return_as="generator_unordered", batch_size=4, pre_dispatch=8 * workers)
    yield from parallel(delayed(_keyed)(case) for case in cases)


def _keyed(case: Case) -> tuple[Case, Told]:
    return case, play(case)


def soak(
    cases: Sequence[Case], workers: int, tell: Callable[[int], None], failed: Callable[[Told], None]
) -> dict[str, Any]:
    """Play all cases; ready for JSON. `tell` is called with how many are done, `failed` with each failure as
    soon as it is known, long before it has been made small. A KeyboardInterrupt ends the run with what has
    been played by then: failures as they are, and nothing is played again."""
    began_s = time.monotonic()
    sums = {name: Counter[str]() for name in ("fired", "counts", "statuses", "rules", "nodes")}
    peaks: Counter[str] = Counter()
    delivered = events = without_pairs = without_faults = 0
    failures: list[tuple[Case, Told]] = []
    digests: dict[int, str] = {}
    played: list[Case] = []
    try:
        for case, told in results(cases, workers):
            played.append(case)
            sums["fired"].update(told.fired)
            sums["counts"].update(told.counts)
            sums["statuses"].update(told.statuses)
            sums["nodes"][str(told.nodes)] += 1
            peaks |= Counter(told.peaks)
            delivered += told.delivered
            events += told.events
            without_pairs += not told.delivered
            without_faults += not told.fired
            if told.rule is not None:
                sums["rules"][told.rule] += 1
                failures.append((case, told))
                failed(told)
            elif len(digests) < PLAYED_AGAIN_MAX and case.faults is None:
                digests[case.seed] = told.digest
            tell(len(played))
    except KeyboardInterrupt:
        pass  # somebody has waited enough: what was played counts
    interrupted = len(played) < len(cases)
    if interrupted:
        digests = {}
    failures.sort(key=lambda one: one[0].seed)
    profile = cases[0].profile if cases else ""
    different = _played_differently(profile, digests)
    return {
        "seeds": len(played),
        "interrupted": interrupted,
        "first_seed": min((case.seed for case in cases), default=0),
        "profile": profile,
        "simulated_s": sum(case.until_s for case in played),
        "violations": len(failures),
        "by_rule": dict(sums["rules"]),
        "failures": [
            _small(case if interrupted else shrink(case, told.rule or ""), told)
            for case, told in failures[:FAILURES_SHOWN]
        ],
        "failed_seeds": [case.seed for case, _ in failures],
        "pairs_delivered": delivered,
        "seeds_without_pairs": without_pairs,
        "faults_fired": dict(sums["fired"].most_common()),
        "seeds_without_faults": without_faults,
        "requests_ended": dict(sums["statuses"]),
        "networks_by_nodes": dict(sorted(sums["nodes"].items(), key=lambda item: int(item[0]))),
        "counts": dict(sums["counts"].most_common()),
        "longest_queues": dict(peaks),
        "events": events,
        "played_again": len(digests),
        "played_differently": different,
        "wall_s": round(time.monotonic() - began_s, 1),
        "workers": workers,
    }


def _small(smallest: Case, told: Told) -> dict[str, Any]:
    return {
        "seed": smallest.seed,
        "rule": told.rule,
        "problem": told.problem,
        "replay": replay_line(smallest),
        "faults": described(smallest.faults or ()),
    }


def _played_differently(profile: str, digests: dict[int, str]) -> list[int]:
    """Seeds whose digest is another one in a process that hashes strings otherwise."""
    if not digests:
        return []
    environment = dict(os.environ, PYTHONHASHSEED=str(1 + sum(digests) % 1000))
    command = [sys.executable, "-m", "bellwire.soak.digests", profile, *map(str, digests)]
    other = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if other.returncode:
        raise ConfigError(f"the process that plays seeds again failed: {other.stderr.strip()[-300:]}")
    again = {int(seed): digest for seed, digest in json.loads(other.stdout).items()}
    return [seed for seed, digest in digests.items() if again[seed] != digest]


def cases_of(first: int, seeds: int, profile: str, until_s: float = WATCHED_S) -> list[Case]:
    """Consecutive seeds of one profile."""
    return [Case(seed=seed, profile=profile, until_s=until_s) for seed in range(first, first + seeds)]
