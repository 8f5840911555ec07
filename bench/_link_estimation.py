"""Fidelity estimation of links: do intervals cover the World's truth, and how soon is a drift noticed.

Owns the numbers of links and tests. Run lengths of the drift watch are compared with the exact Markov chain
of tests/link_layer/test_estimation_drift.py. Refuses the estimator's arithmetic, which is tested there.
"""

import random
from math import sqrt
from typing import Final, NamedTuple

import numpy as np
from _link_rows import Comparison, Row, limited, told
from scipy import stats

from bellwire.core.units import NS_PER_S
from bellwire.link_layer.estimation.drift import DriftWatch, limit_for, shifted
from tests.link_layer.test_estimation_drift import (
    FALSE_ALARM_TESTS,
    mean_run,
    of_fidelity,
    quantile_run,
    run_until_alarm,
    transitions,
)
from tests.simulation.test_fidelity_estimation import (
    MEMORY,
    Fallen,
    asymmetric,
    figures_of,
    give,
    host_of,
    lab_of,
    textbook_links,
)

PART: Final = "fidelity estimation"
LABS: Final = 5
LINKS: Final = 100
COVERED_S: Final = 0.17
"""Some 130 tests of each link in so much virtual time."""

DRIFT: Final = 0.03
FIDELITIES: Final = (0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99)
"""Of the curve of delays."""

STATED: Final = {0.95: (870, 1850), 0.90: (1360, 2910)}
"""What estimation/drift.py states of a fall by 0.03: tests until it is noticed, mean and in 95 of 100."""

FALLS: Final = 1500
QUIET_TESTS: Final = 2_000_000
"""Tests of links that do not change, for the rate of false alarms."""


class Delay(NamedTuple):
    """Tests from a fall by DRIFT to its alarm, measured and by the exact chain."""

    fidelity: float
    mean: float
    error: float  # standard error of the mean
    quantile: float  # in 95 of 100 cases
    within: float  # share of the falls noticed within what is stated, or within exact_quantile
    exact_mean: float
    exact_quantile: int

    def row(self) -> Row:
        """For the record of the curve."""
        return self._asdict()


def coverage_rows(quick: bool) -> list[Row]:
    """How many of some hundred links have the World's fidelity in their 95 % interval."""
    labs = 1 if quick else LABS
    covered = tests = 0
    for seed in range(31, 31 + labs):
        lab = lab_of(textbook_links(LINKS, 0.9), MEMORY)
        host = host_of(lab, seed)
        chance = np.random.default_rng(seed)
        truths = {}
        for number, link in enumerate(lab.network.links):
            truths[link] = 1.0 if number % 10 == 0 else float(chance.uniform(0.8, 1.0))
            give(host, link, asymmetric(chance, truths[link]))
        host.run(round(COVERED_S * NS_PER_S))
        for link, truth in truths.items():
            figures = figures_of(host, link)
            covered += figures.fidelity_low <= truth <= figures.fidelity_high
            tests += figures.tested
    links = labs * LINKS
    low, high = stats.binomtest(covered, links).proportion_ci(0.95)
    return [
        {
            "part": PART,
            "what": f"links of which the 95 % interval covers the World; {tests / links:.0f} tests each; "
            f"95 % interval of this share {low:.3f} to {high:.3f}",
            "measured": covered / links,
            "should be": 0.95,
            "limit": "0.95 or more in its interval",
            "samples": links,
            "held": told(high >= 0.95),
        }
    ]


def delays(fidelity: float, falls: int, seed: int) -> Delay:
    """So many falls by DRIFT, each after a reference that is exactly known."""
    values = of_fidelity(fidelity)
    after = shifted(values, -DRIFT)
    runs = [run_until_alarm(seed + number, values, after, 1.0) for number in range(falls)]
    chain = transitions(values, after, 1.0, limit_for(values, after, 1.0, FALSE_ALARM_TESTS), after)
    exact_quantile = quantile_run(chain, 0.95)
    stated = STATED[fidelity][1] if fidelity in STATED else exact_quantile
    return Delay(
        fidelity,
        float(np.mean(runs)),
        float(np.std(runs, ddof=1)) / sqrt(falls),
        float(np.quantile(runs, 0.95)),
        sum(run <= stated for run in runs) / falls,
        mean_run(chain),
        exact_quantile,
    )


def measure_delays(quick: bool) -> list[Delay]:
    """The curve over fidelities; most falls where drift.py states numbers that the table shows."""
    falls = FALLS // 10 if quick else FALLS
    return [
        delays(fidelity, falls if fidelity in STATED else falls // 5, 100_000 * number)
        for number, fidelity in enumerate(FIDELITIES)
    ]


def delay_rows(curve: list[Delay], quick: bool) -> list[Row]:
    """Mean against the exact chain, and mean and quantile within what is stated."""
    falls = FALLS // 10 if quick else FALLS
    rows: list[Row] = []
    for one in curve:
        if one.fidelity not in STATED:
            continue
        _, within = STATED[one.fidelity]
        what = f"tests until a fall by {DRIFT:g} from F = {one.fidelity:g} is noticed"
        rows.append(Comparison(PART, f"{what}, mean", one.mean, one.exact_mean, one.error, falls).row())
        what = (
            f"falls noticed within the {within} tests stated (95 of 100 measured: {one.quantile:.0f}), share"
        )
        error = sqrt(0.95 * 0.05 / falls)
        rows.append(Comparison(PART, f"F = {one.fidelity:g}: {what}", one.within, 0.95, error, falls).row())
    return rows


def false_alarms(fidelity: float, tests: int, seed: int) -> int:
    """Alarms, of falls and of rises, at a link that does not change and is watched by a known reference."""
    values = of_fidelity(fidelity)
    wrong = [(1.0 - value) / 2.0 for value in values]
    chance = random.Random(seed)
    watch = DriftWatch(DRIFT, FALSE_ALARM_TESTS)
    watch.refer(values, 1.0)
    alarms = 0
    for _ in range(tests):
        basis = chance.randrange(3)
        if watch.add(2, basis, chance.random() < wrong[basis], 1.0) is not None:
            alarms += 1
            watch = DriftWatch(DRIFT, FALSE_ALARM_TESTS)
            watch.refer(values, 1.0)
    return alarms


def false_alarm_rows(quick: bool) -> list[Row]:
    """False alarms in 100 000 tests, of both sums together, against what is allowed."""
    tests = QUIET_TESTS // 20 if quick else QUIET_TESTS
    rows: list[Row] = []
    for fidelity in STATED:
        alarms = false_alarms(fidelity, tests, 41)
        allowed = 2.0 * tests / FALSE_ALARM_TESTS
        # More than this number comes with probability 3e-5 when the allowed rate is the true one.
        limit = float(stats.poisson.isf(3e-5, allowed)) / tests * 1e5
        what = f"false alarms in 100 000 tests at F = {fidelity:g}, both sums (allowed: 4)"
        rows.append(limited(PART, what, alarms / tests * 1e5, limit, tests))
    return rows


def fallen_rows() -> list[Row]:
    """Twelve links that fall in virtual time, with references that they learnt by themselves."""
    run = Fallen()
    noticed = [run.noticed[link] for link in run.watched]
    mean, _ = STATED[0.95]
    what = (
        f"in virtual time, references learnt: tests until a fall by {DRIFT:g} from F = 0.95 is noticed, "
        f"mean of {len(noticed)} links"
    )
    error = float(np.std(noticed, ddof=1)) / sqrt(len(noticed))
    row = limited(PART, what, float(np.mean(noticed)), 1.25 * mean, len(noticed))
    return [row | {"should be": mean, "standard error": error}]
