"""Schedulers with everything that really runs, in virtual time: rivals on one link, and calendars."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from bellwire.core.effects import Effect, Publish
from bellwire.core.events import Event
from bellwire.core.facts import Born
from bellwire.core.ids import NodeId
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile
from bellwire.link_layer.service import LinkService
from tests.simulation.faulty import History

PERIOD_US, SUCCESS = 100, 0.03
STEP_MS, LEASE_MS = 10, 500


def one_link(weights: dict[str, int], **link: Any) -> Lab:
    """Two nodes, one link in textbook form, and requests of these weights that take all they get."""
    attempt = {"period_us": PERIOD_US, "success_probability": SUCCESS, "fidelity": 0.98}
    return build_lab(
        LabFile.model_validate(
            {
                "lab": "one_link",
                "nodes": {"ann": {"role": "end"}, "bob": {"role": "end"}},
                "links": {
                    "ann-bob": {"nodes": ("ann", "bob"), "attempt": attempt, "length_km": 10.0, **link}
                },
                "limits": {"schedule_step_ms": float(STEP_MS), "window_lease_ms": float(LEASE_MS)},
                "requests": tuple(
                    {
                        "id": name,
                        "from": "ann",
                        "to": "bob",
                        "duration_s": 1000,
                        "consumption": "measure",
                        "weight": weight,
                    }
                    for name, weight in weights.items()
                ),
            }
        )
    )


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("scheduler", ["weighted_round_robin", "weighted_fair_queueing"])
def test_three_rivals_have_their_weights_in_every_stretch_of_four_seconds(scheduler: str, lanes: int) -> None:
    """Of the delivered pairs, over stretches of eight attempt windows.

    Allowed: 4.4 standard errors, and a frame (10 ms) of each window of 500 ms for round robin, two frames of
    the stretch for fair queueing. 36 comparisons with false alarms of 1e-5 each.
    """
    weights = {"one": 1, "two": 2, "three": 3}
    history = History(one_link(weights, scheduler=scheduler, lanes=lanes), 1)
    history.host.run(13 * NS_PER_S)
    late = STEP_MS / LEASE_MS if scheduler == "weighted_round_robin" else 2 * STEP_MS / 4000
    for since_ns, until_ns in pairwise(range(NS_PER_S, 14 * NS_PER_S, 4 * NS_PER_S)):
        counts = {
            name: sum(since_ns <= at_ns < until_ns for at_ns in outcome.delivered_ns)
            for name, outcome in history.observer.outcomes.items()
        }
        total = sum(counts.values())
        assert total > 600 * lanes
        for name, weight in weights.items():
            share = weight / 6
            error = (share * (1 - share) / total) ** 0.5
            assert abs(counts[name] / total - share) < 4.4 * error + late
    assert all(outcome.frame_errors == 0 for outcome in history.observer.outcomes.values())


class Bindings:
    """Births as the nodes write them: the request of each, by the frame of the run in which it was."""

    def __init__(self) -> None:
        self.history: History | None = None
        self.born: Counter[tuple[int, str | None]] = Counter()

    def __call__(self, now_ns: int, node: NodeId, event: Event, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Publish):
                for fact in effect.batch.facts:
                    if isinstance(fact, Born):
                        frame = fact.end.attempt * PERIOD_US // (STEP_MS * 1000)
                        self.born[frame, fact.request] += 1


def test_a_calendar_is_kept_to_the_attempt_and_shares_are_its_frames() -> None:
    """Of births, which are counted at both ends; the share of a request in the pairs is binomial: 4.4
    standard errors, false alarm 1e-5."""
    calendar = ("one", "one", None, "two")
    bindings = Bindings()
    lab = one_link({"one": 1, "two": 60, "three": 9}, scheduler="tdma", calendar=calendar, lanes=2)
    history = History(lab, 2, watch=bindings)
    history.host.run(6 * NS_PER_S)
    for frame, request in bindings.born:
        assert request == calendar[frame % 4]
    pairs = Counter({name: len(one.delivered_ns) for name, one in history.observer.outcomes.items()})
    assert pairs["three"] == 0
    total = pairs["one"] + pairs["two"]
    assert total > 1200
    assert abs(pairs["one"] / total - 2 / 3) < 4.4 * (2 / 9 / total) ** 0.5
    (service,) = [part for part in history.node("ann").parts if isinstance(part, LinkService)]
    dropped = service.ends["ann-bob"].counters["idle"]
    heralds = dropped + total
    # At least a quarter: lanes wait for memory only where pairs are used.
    assert dropped / heralds > 1 / 4 - 4.4 * (3 / 16 / heralds) ** 0.5
