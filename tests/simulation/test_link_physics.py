"""Links of every architecture in virtual time, with all machines running, against algorithms.md section 11.

About 1500 heralds in each of 15 labs of one lane, 3000 in one of four lanes. A lane that is free attempts at
once, so the attempts between two heralds are all its joint attempts: their number is geometric. Success
probabilities must lie within 4 standard errors (6.3e-5 by chance for each, one of 16 with a fresh seed in 1
of 1000 runs); states are read from the World when they are measured, and are exact.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from math import exp, sqrt
from typing import Any

import pytest

from bellwire.core.effects import Effect
from bellwire.core.events import Event, QubitHeld, StationHeralded
from bellwire.labs import Lab
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.world import PairTruth
from tests.physics.links_of_two import GRID, LinkCase, closed_form, lab_of

HERALDS = 1500
SIGMAS = 4.0
LINK = "ann-bob"
REQUEST: dict[str, Any] = {
    "id": "pairs",
    "from": "ann",
    "to": "bob",
    "duration_s": 1e5,
    "consumption": "measure",
}


@dataclass(slots=True)
class Seen:
    """What happened at a link."""

    attempts: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # of heralds, by lane
    clicked_ns: list[int] = field(default_factory=list[int])
    known_ns: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    truths: list[PairTruth] = field(default_factory=list[PairTruth])

    def watch(self, now_ns: int, node: str, event: Event, effects: list[Effect]) -> None:
        if isinstance(event, StationHeralded):
            self.attempts[event.lane].append(event.attempt)
            self.clicked_ns.append(event.at_ns)
        elif isinstance(event, QubitHeld):
            self.known_ns[node].append(now_ns)

    def witness(self, now_ns: int, node: str, slot: int, truth: PairTruth) -> None:
        self.truths.append(truth)

    @property
    def gaps(self) -> list[int]:
        return [later - before for told in self.attempts.values() for before, later in pairwise(told)]


def run(lab: Lab, seed: int, heralds: int) -> Seen:
    """A lab for as long as so many heralds take in the mean."""
    link = lab.network.links[LINK]
    seen = Seen()
    host = VirtualHost(lab, seed, partial(compute_plan, lab.network), watch=seen.watch)
    host.witnesses.append(seen.witness)
    host.start()
    host.run(round(heralds / link.lanes / link.success_probability * link.period_ns))
    return seen


def success_is(gaps: list[int], success: float) -> bool:
    """Maximum likelihood of the geometric law, within 4 standard errors."""
    return abs(len(gaps) / sum(gaps) - success) <= SIGMAS * success * sqrt((1 - success) / len(gaps))


@pytest.mark.parametrize("case", GRID, ids=lambda case: case.name)
def test_heralds_come_as_often_and_pairs_are_as_good_as_the_closed_form_says(case: LinkCase) -> None:
    success, fidelity = closed_form(case)
    seen = run(lab_of(case, requests=(REQUEST,)), 100 + GRID.index(case), HERALDS)
    assert len(seen.gaps) > 0.8 * HERALDS
    assert success_is(seen.gaps, success)
    assert not success_is(seen.gaps, success * 1.25)
    assert len(seen.truths) > 0.8 * HERALDS
    for truth in seen.truths:
        assert truth.fidelity == pytest.approx(fidelity, abs=1e-9)


def test_lanes_attempt_side_by_side_and_none_disturbs_another() -> None:
    case = LinkCase(architecture="midpoint_source", km=(5, 5), mean_pair_number=0.4)
    seen = run(lab_of(case, lanes=4, requests=(REQUEST,)), 7, 2 * HERALDS)
    assert sorted(seen.attempts) == [0, 1, 2, 3]
    assert success_is(seen.gaps, closed_form(case)[0])


@pytest.mark.parametrize(
    ("architecture", "km", "more", "click_us", "known_us", "period_us"),
    [
        # There and the herald back, both arms alike; 10 us of initialisation.
        ("double_click", (10, 10), {}, 50, (50, 50), 110),
        ("single_click", (2, 10), {"alpha": (0.2, 0.2)}, 50, (10, 50), 110),
        # One flight of 20 km, and the herald back to the sender: t = t_g + 2 d/c.
        ("sender_receiver", (20, 0), {}, 100, (100, 0), 210),
        # d/(2c) for the photons, then d/c: the heralds to the source and the joint decision back.
        ("midpoint_source", (10, 10), {"mean_pair_number": 0.5}, 100, (50, 50), 160),
    ],
)
def test_each_architecture_has_its_own_times(
    architecture: str,
    km: tuple[float, float],
    more: dict[str, Any],
    click_us: int,
    known_us: tuple[int, int],
    period_us: int,
) -> None:
    lab = lab_of(LinkCase(architecture=architecture, km=km, **more), requests=(REQUEST,))
    link = lab.network.links[LINK]
    assert link.period_ns == period_us * 1000
    seen = run(lab, 3, 50)
    starts = [attempt * link.period_ns for attempt in seen.attempts[0]]
    epochs = {clicked - start for clicked, start in zip(seen.clicked_ns, starts, strict=True)}
    assert len(epochs) == 1  # one run: its epoch and the time to the click
    assert link.click_delay_ns == click_us * 1000
    for side, node in enumerate(("ann", "bob")):
        told = seen.known_ns[node]
        assert told == [at + known_us[side] * 1000 for at in seen.clicked_ns[: len(told)]]


def test_waiting_for_the_click_costs_fidelity_where_a_memory_waits() -> None:
    """T2 = 10 ms, T1 = none. Sender-receiver over 40 km: the sender's qubit waits 200 us for its photon.
    Midpoint source with arms of 20 km: both wait 100 us for the heralds to meet. Both: coherence falls by
    exp(-200 us/T2), and F = (1 + 1 + 2 exp(-t/T2))/4 of a perfect pair."""
    memory = {"t2_s": 0.01}
    perfect = LinkCase(architecture="sender_receiver", km=(40, 0))
    (truth,), _ = lab_of(perfect, memory=memory).world()
    expected = (2 + 2 * exp(-0.02)) / 4
    assert truth.outcomes[0].state[2] == pytest.approx(expected, rel=1e-9)
    source = LinkCase(architecture="midpoint_source", km=(20, 20), mean_pair_number=1e-7)
    (truth,), _ = lab_of(source, memory=memory).world()
    assert truth.outcomes[0].state[2] == pytest.approx(expected, rel=1e-6)
