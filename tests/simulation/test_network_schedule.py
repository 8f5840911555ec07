"""A network schedule with everything that really runs, in virtual time: slots are kept, rates are met."""

from collections import Counter
from math import sqrt
from pathlib import Path

import pytest

from bellwire.core.effects import Effect, Publish
from bellwire.core.events import Event
from bellwire.core.facts import Born
from bellwire.core.ids import NodeId
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab, load_lab
from bellwire.labs.schedule_rows import promised
from bellwire.link_layer.service import LinkService
from bellwire.planner.calendar.admission import Admitted, faults_of
from tests.simulation.faulty import History

STARTED_NS = NS_PER_S
"""Plans are dispatched and links attempt by then; counting begins."""

COUNTED_S = 12

TEXTBOOK = "attempt: {period_us: 100, success_probability: 0.02, fidelity: 0.98}, length_km: 10"

ONE_LINK = f"""
lab: one_link
nodes: {{ann: {{role: end}}, bob: {{role: end}}}}
links:
  ann-bob: {{nodes: [ann, bob], {TEXTBOOK}, lanes: 2}}
schedule: {{slot_ms: 10, slots: 20, calibrations: {{ann-bob: [0, 9]}}}}
requests:
  - {{id: one, from: ann, to: bob, duration_s: 100, rate_min_hz: 100, consumption: measure}}
  - {{id: two, from: bob, to: ann, duration_s: 100, rate_min_hz: 80}}
  - {{id: rest, from: ann, to: bob, duration_s: 100, consumption: measure}}
"""

HUB = """
lab: hub
nodes: {{ann: {{role: end}}, ben: {{role: end}}, hub: {{role: repeater{memory}}}, cat: {{role: end}}}}
links:
  ann-hub: {{nodes: [ann, hub], {link}, lanes: 4}}
  ben-hub: {{nodes: [ben, hub], {link}, lanes: 4}}
  hub-cat: {{nodes: [hub, cat], {link}, lanes: 4}}
schedule: {{slot_ms: {slot_ms}, slots: {slots}, calibrations: {{ann-hub: [0]}}}}
requests:
  - {{id: ann-cat, from: ann, to: cat, duration_s: 100, rate_min_hz: {rate}, consumption: measure}}
  - {{id: ben-cat, from: ben, to: cat, duration_s: 100, rate_min_hz: {rate}}}
  - {{id: ann-ben, from: ann, to: ben, duration_s: 100, rate_min_hz: {rate}, consumption: measure}}
"""

FIBRE = """
lab: fibre
nodes: {ann: {role: end}, mid: {role: repeater}, bob: {role: end}}
stations: {west: {}, east: {}}
links:
  ann-mid: {nodes: [ann, mid], station: west, fibre_km: [5, 5], lanes: 4}
  mid-bob: {nodes: [mid, bob], station: east, fibre_km: [5, 5], lanes: 4}
schedule: {slot_ms: 100, slots: 10, clock_sigma_us: 20, calibrations: {ann-mid: [3], mid-bob: [7]}}
requests:
  - {id: slow, from: ann, to: bob, duration_s: 100, rate_min_hz: 30, consumption: measure}
  - {id: fast, from: bob, to: ann, duration_s: 100, rate_min_hz: 40, consumption: measure}
"""

LABS = {
    "one_link": ONE_LINK,
    "hub": HUB.format(memory="", link=TEXTBOOK, slot_ms=50, slots=20, rate=100),
    # One emitter or one bank for all links of the hub: they attempt one after the other.
    "bank": HUB.format(memory=", memory: {bank: 8}", link=TEXTBOOK, slot_ms=10, slots=80, rate=30),
    "emitters": HUB.format(memory=", memory: {emitters: 4}", link=TEXTBOOK, slot_ms=10, slots=80, rate=30),
    "fibre": FIBRE,
}


def lab_of(folder: Path, text: str) -> Lab:
    path = folder / "lab.yaml"
    path.write_text(text, encoding="utf-8")
    return load_lab(path)


class Births:
    """Births as the nodes write them: how many by link, slot of the cycle and request."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.born: Counter[tuple[str, int, str | None]] = Counter()

    def __call__(self, now_ns: int, node: NodeId, event: Event, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Publish):
                for fact in effect.batch.facts:
                    if isinstance(fact, Born):
                        link = self.lab.network.links[fact.end.link]
                        frame = fact.end.attempt * link.period_ns // link.turn_ns
                        self.born[link.link, frame % link.turns, fact.request] += 1


@pytest.mark.parametrize("name", LABS)
def test_every_admitted_rate_is_met_and_nothing_is_made_outside_its_slots(name: str, tmp_path: Path) -> None:
    """Delivered pairs of each request over 12 s (seed 5), against the rate that it was promised.

    Allowed: 4.4 standard errors of a Poisson count below the promise, false alarm 5e-6 each (13 comparisons);
    pairs that come by attempts vary less than that. That a promise is kept with much to spare is no fault,
    for links that share memories it is a lower bound.
    """
    lab = lab_of(tmp_path, LABS[name])
    assert lab.schedule is not None
    assert faults_of(lab.schedule.schedule, lab.schedule.outcome) == []
    assert lab.schedule.outcome.refused == ()
    births = Births(lab)
    history = History(lab, 5, watch=births)
    until_ns = STARTED_NS + COUNTED_S * NS_PER_S
    history.host.run(until_ns)
    for request, outcome in history.observer.outcomes.items():
        decided = promised(lab.schedule, request)
        assert isinstance(decided, Admitted)
        assert decided.rate_hz >= lab.schedule.wanted_hz[request]
        count = sum(STARTED_NS <= at_ns < until_ns for at_ns in outcome.delivered_ns) - outcome.voided
        expected = decided.rate_hz * COUNTED_S
        assert count >= expected - 4.4 * sqrt(expected), (request, count, expected)
        assert outcome.frame_errors == 0
    calibrations = lab.schedule.schedule.calibrations
    for node in lab.network.nodes:
        for part in history.node(node).parts if lab.network.nodes[node].memory is not None else ():
            for end in part.ends.values() if isinstance(part, LinkService) else ():
                assert end.book.run is not None
                for window in end.book.windows:
                    assert set(window.granted).isdisjoint(calibrations.get(end.settings.link, ()))
                assert end.book.epoch_ns % lab.schedule.schedule.frame.cycle_ns == 0
    assert sum(births.born.values()) > 1000
    for (link, slot, request), count in births.born.items():
        assert lab.network.links[link].calendar[slot] == request, (link, slot, request, count)
        assert slot not in calibrations.get(link, ())


def test_a_request_that_is_not_admitted_ends_at_once_with_the_reason(tmp_path: Path) -> None:
    text = LABS["hub"].replace(
        "- {id: ann-ben",
        "- {id: greedy, from: ann, to: cat, duration_s: 9, rate_min_hz: 400}\n  - {id: ann-ben",
    )
    lab = lab_of(tmp_path, text)
    assert lab.schedule is not None
    assert [one.request for one in lab.schedule.outcome.refused] == ["greedy"]
    history = History(lab, 1)
    history.host.run(2 * NS_PER_S)
    outcome = history.observer.outcomes["greedy"]
    assert outcome.status == "failed"
    assert outcome.error == "the network schedule has no slot for greedy on ann-hub"
    assert not outcome.delivered_ns
    assert len(history.observer.outcomes["ann-cat"].delivered_ns) > 50


def test_the_pauses_of_a_slow_schedule_are_no_darkness(tmp_path: Path) -> None:
    """Each link has some quarters of a second in five seconds. A link attempts nothing in its pauses; a link
    whose light goes out is found dark all the same, within two cycles."""
    lab = lab_of(tmp_path, HUB.format(memory="", link=TEXTBOOK, slot_ms=250, slots=20, rate=20))
    history = History(lab, 6)
    history.host.run(20 * NS_PER_S)
    assert downs(history) == dict.fromkeys(lab.network.links, 0)
    history.host.change_link_at(20 * NS_PER_S, "ben-hub", success_probability=0.0)
    history.host.run(31 * NS_PER_S)
    assert downs(history) == {name: int(name == "ben-hub") for name in lab.network.links}


def downs(history: History) -> dict[str, int]:
    """How often each link was judged down, by its side 0."""
    found: dict[str, int] = {}
    for name, link in history.lab.network.links.items():
        for part in history.node(link.nodes[0]).parts:
            if isinstance(part, LinkService):
                found[name] = part.ends[name].counters["downs"]
    return found
