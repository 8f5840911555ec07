"""Links of the four architectures in virtual time, against the closed forms of algorithms.md section 11.

Owns the grid and what is measured at each of its points: success probability from the attempts between two
heralds, fidelity once as the World knows it (exact: no samples) and once from the bits of test rounds. The
closed forms are those of tests/physics/links_of_two.py, written from the specification alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from math import sqrt
from typing import Final, NamedTuple

from _link_rows import SIGMAS, Comparison, Row, limited, several_beyond, told

from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from tests.physics.links_of_two import GRID, LinkCase, closed_form, lab_of
from tests.simulation.test_link_physics import REQUEST, Seen
from tests.simulation.test_link_rate_at_paper_defaults import (
    IN_TURN,
    MEET,
    SEND,
    SOURCE,
    measured_hz,
    planned_hz,
)
from tests.simulation.test_link_rate_at_paper_defaults import lab_of as lab_at_defaults

HERALDS: Final = 3000
"""Of each point of the grid."""

TEST_SHARE: Final = 0.95
RARE: Final = 10**9
"""Tests between two false alarms of drift: none, so that no test is forgotten."""

DEFAULTS_PAIRS: Final = 42_000
"""2 % are 4.1 standard errors of so many geometric gaps."""

RATE_LIMIT: Final = 0.02
NOISE: Final = ((1.0, 0.0), (0.9, 1e-3), (0.8, 0.02))
"""Visibility, and dark probability of a detector and window."""

FIRST_SEED: Final = 1000


def cases() -> Iterator[LinkCase]:
    """The grid of the tests, and all combinations of loss, noise and light beside it."""
    yield from GRID
    for km, (visibility, dark) in product(((1.0, 1.0), (10.0, 10.0), (4.0, 16.0)), NOISE):
        yield LinkCase(architecture="double_click", km=km, visibility=visibility, dark=dark)
    for km, alpha, (visibility, dark) in product(((2.0, 2.0), (12.0, 12.0)), (0.05, 0.3), NOISE[:2]):
        yield LinkCase(
            architecture="single_click", km=km, alpha=(alpha, alpha), visibility=visibility, dark=dark
        )
    for km, dark in product((5.0, 20.0, 40.0), (0.0, 0.02)):
        yield LinkCase(architecture="sender_receiver", km=(km, 0.0), dark=dark, intrinsic_fidelity=0.97)
    for km, mean, dark in product(((1.0, 1.0), (12.0, 12.0)), (0.05, 0.3, 1.0), (0.0, 0.005)):
        yield LinkCase(architecture="midpoint_source", km=km, mean_pair_number=mean, dark=dark)


class Point(NamedTuple):
    """One point of the grid."""

    case: LinkCase
    rate: Comparison  # success probability of an attempt
    tests: Comparison  # fidelity by test rounds
    world_off: float  # largest difference of a pair's true fidelity from the closed form

    def row(self) -> Row:
        """For the record of the whole grid."""
        return {
            "link": self.case.name,
            "architecture": self.case.architecture,
            "heralds": self.rate.samples,
            "success probability": self.rate.measured,
            "closed form": self.rate.expected,
            "standard errors off": self.rate.deviation,
            "fidelity by tests": self.tests.measured,
            "closed form of the fidelity": self.tests.expected,
            "fidelity, standard errors off": self.tests.deviation,
            "tests": self.tests.samples,
            "fidelity of the World off by": self.world_off,
        }


def measure(case: LinkCase, seed: int, heralds: int) -> Point:
    """Run one link for as long as so many heralds take in the mean."""
    success, fidelity = closed_form(case)
    tested = {"test_share": TEST_SHARE, "estimation": {"false_alarm_tests": RARE}}
    lab = lab_of(replace(case, link=case.link | tested), requests=(REQUEST,))
    seen = Seen()
    host = VirtualHost(lab, seed, partial(compute_plan, lab.network), watch=seen.watch)
    host.witnesses.append(seen.witness)
    host.start()
    host.run(round(heralds / success * lab.network.links["ann-bob"].period_ns))
    gaps = seen.gaps
    node = host.machines["ann"]
    if not isinstance(node, QuantumNode):
        raise TypeError(f"ann is {type(node).__name__}, and must be a node with links")
    bases = node.links.ends["ann-bob"].estimation.points[0].tally.pooled().bases
    # One error more and two tests more (Laplace): a basis without an error is not without doubt.
    chances = [(one.errors + 1) / (one.tests + 2) for one in bases]
    error = sqrt(sum(p * (1 - p) / one.tests for p, one in zip(chances, bases, strict=True))) / 2
    return Point(
        case,
        Comparison(
            "architectures",
            case.name,
            len(gaps) / sum(gaps),
            success,
            success * sqrt((1 - success) / len(gaps)),
            len(gaps),
        ),
        Comparison(
            "architectures",
            case.name,
            1.0 - sum(one.errors / one.tests for one in bases) / 2.0,
            fidelity,
            error,
            sum(one.tests for one in bases),
        ),
        max(abs(truth.fidelity - fidelity) for truth in seen.truths),
    )


def measure_grid(quick: bool) -> list[Point]:
    """All points, each with a seed of its own."""
    heralds = HERALDS // 10 if quick else HERALDS
    return [measure(case, FIRST_SEED + number, heralds) for number, case in enumerate(cases())]


def _worst(comparisons: Iterable[Comparison]) -> Comparison:
    return max(comparisons, key=lambda one: abs(one.deviation))


def grid_rows(points: list[Point]) -> list[Row]:
    """For each architecture its worst rate and its worst fidelity, and the verdict over all."""
    rows: list[Row] = []
    for architecture in dict.fromkeys(point.case.architecture for point in points):
        own = [point for point in points if point.case.architecture == architecture]
        for what, worst in (
            ("success probability", _worst(point.rate for point in own)),
            ("fidelity by test rounds", _worst(point.tests for point in own)),
        ):
            samples = sum(point.rate.samples if "success" in what else point.tests.samples for point in own)
            label = f"{what}, the worst of {len(own)} links: {worst.what}"
            rows.append(worst._replace(what=label).row() | {"samples": samples})
    both = [one for point in points for one in (point.rate, point.tests)]
    beyond = sum(not one.held for one in both)
    rows.append(
        {
            "part": "architectures",
            "what": f"comparisons of {len(both)} beyond {SIGMAS:g} standard errors; "
            f"by chance one or more with probability {several_beyond(len(both), 1):.2g}",
            "measured": beyond,
            "should be": 0,
            "samples": len(both),
            "held": told(beyond == 0),
        }
    )
    worst_off = max(point.world_off for point in points)
    pairs = sum(point.rate.samples for point in points)
    rows.append(
        limited("architectures", "fidelity of each pair in the World, off by", worst_off, 1e-9, pairs)
    )
    return rows


def defaults_rows(quick: bool) -> list[Row]:
    """Measured link rate over the planner's prediction, at the defaults of algorithms.md 0.2."""
    pairs = DEFAULTS_PAIRS // 20 if quick else DEFAULTS_PAIRS
    labs = {
        "double click": MEET,
        "double click, one attempt after the other (1.1)": IN_TURN,
        "single click, bright-state population 0.1": lab_at_defaults(
            {"architecture": "single_click", "fibre_km": (5.0, 5.0), "alpha": (0.1, 0.1)}
        ),
        "sender receiver": SEND,
        "midpoint source": SOURCE,
    }
    rows: list[Row] = []
    for number, (name, lab) in enumerate(labs.items()):
        found = measured_hz(lab, pairs, seed=FIRST_SEED + 500 + number) / planned_hz(lab)
        (link,) = lab.network.links.values()
        error = sqrt((1.0 - link.success_probability) / pairs)
        limit = max(RATE_LIMIT, SIGMAS * error) if quick else RATE_LIMIT
        rows.append(
            {
                "part": "paper's defaults",
                "what": f"rate over the plan's, {name} ({planned_hz(lab):.4g} pairs/s)",
                "measured": found,
                "should be": 1.0,
                "standard error": error,
                "standard errors off": (found - 1.0) / error,
                "limit": f"{limit:.2g} off",
                "samples": pairs,
                "held": told(abs(found - 1.0) <= limit),
            }
        )
    return rows
