"""Recorded events of a virtual run, fed to fresh machines, give the same effects byte for byte.

Virtual machines pull facts from their host's logs, so what they read is recorded beside the events and
read again from the record.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from bellwire.core.codec import decode_event, encode
from bellwire.core.effects import Effect
from bellwire.core.events import Event, Started
from bellwire.core.ids import NodeId
from bellwire.core.plans import Circumstances
from bellwire.core.settings import NetworkSettings
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab, Scenario
from bellwire.node.machines import Compute, make_machine
from bellwire.node.routing import NodeMachine
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from tests.hosts.perturbing import asap_chain
from tests.simulation.faulty import crash, faulty_lab

Reading = tuple[int, list[Any]]
"""When a machine looked at the logs, and what was new."""


class RecordingSource:
    """Passes on what the host's reader shows, and keeps it."""

    def __init__(self, source: Any, readings: list[Reading]) -> None:
        self._source = source
        self._readings = readings

    def visible(self, now_ns: int) -> Iterable[Any]:
        found = list(self._source.visible(now_ns))
        self._readings.append((now_ns, found))
        return found


class ScriptedSource:
    """Shows what was recorded, look by look."""

    def __init__(self, readings: list[Reading]) -> None:
        self._readings = iter(readings)

    def visible(self, now_ns: int) -> Iterable[Any]:
        when_ns, found = next(self._readings)
        assert when_ns == now_ns, "the machine looks at another time than it did"
        return found


@dataclass
class Life:
    """One incarnation of one node: what it was told, what it read, what it ordered."""

    node: NodeId
    readings: list[Reading]
    steps: list[tuple[int, bytes, list[bytes]]] = field(default_factory=list)


class Recording:
    """A run of a lab with everything that went in and out of every machine."""

    def __init__(self, lab: Lab, seed: int, duration_s: float) -> None:
        network = self.network = lab.network
        self.lives: list[Life] = []
        self.events: Counter[str] = Counter()
        self.effects: Counter[str] = Counter()
        self._present: dict[NodeId, Life] = {}
        self._readings: dict[NodeId, list[Reading]] = {}
        host = VirtualHost(lab, seed, self.compute, watch=self._watch, make=self._make)
        host.start()
        host.run(round(duration_s * NS_PER_S))
        assert network is host.network

    def compute(self, request: Any, version: int, news: Circumstances) -> Any:
        return compute_plan(self.network, request, version, news)

    def _make(self, network: NetworkSettings, node: NodeId, compute: Compute, source: Any) -> NodeMachine:
        self._readings[node] = []
        return make_machine(network, node, compute, RecordingSource(source, self._readings[node]))

    def _watch(self, now_ns: int, node: NodeId, event: Event, effects: list[Effect]) -> None:
        if isinstance(event, Started):
            self._present[node] = Life(node, self._readings[node])
            self.lives.append(self._present[node])
        self._present[node].steps.append((now_ns, encode(event), [encode(effect) for effect in effects]))
        self.events[type(event).__name__] += 1
        self.effects.update(type(effect).__name__ for effect in effects)

    def replay(self, life: Life) -> int | None:
        """Feed a life to a fresh machine; the number of the first step that differs, or None."""
        machine = make_machine(self.network, life.node, self.compute, ScriptedSource(life.readings))
        for number, (now_ns, event, effects) in enumerate(life.steps):
            if [encode(effect) for effect in machine.handle(now_ns, decode_event(event))] != effects:
                return number
        return None


def chain() -> Recording:
    return Recording(asap_chain(count=100), 2, 0.5)


def stations_and_crashes() -> Recording:
    scenario = Scenario(
        message_loss_probability=0.02,
        duplicate_probability=0.05,
        delay_jitter_ns=2_000_000,
        reorder=True,
        persist_latency_ns=2_000_000,
        crashes=(crash("relay", 400, 300), crash("bob", 1100, 400), crash("west", 1500, 300)),
    )
    return Recording(faulty_lab(scenario, 60), 3, 8.0)


@pytest.mark.parametrize(
    ("record", "lives", "events", "effects"),
    [
        (
            chain,
            4,
            {"Received": 700, "TimerFired": 150, "Heralded": 500, "BellMeasured": 200, "PauliApplied": 40},
            {
                "Send": 1000,
                "Publish": 700,
                "MeasureBell": 200,
                "ReleaseQubit": 200,
                "Persist": 200,
                "Report": 200,
            },
        ),
        (
            stations_and_crashes,
            8,
            {"Received": 1000, "TimerFired": 100, "QubitHeld": 100, "StationHeralded": 50, "PeerChanged": 10},
            {
                "Send": 1000,
                "Publish": 200,
                "MeasureBell": 40,
                "StartAttempts": 100,
                "StartRun": 3,
                "Persist": 60,
            },
        ),
    ],
    ids=["chain", "stations and crashes"],
)
def test_recorded_events_give_the_same_effects_byte_for_byte(
    record: Any, lives: int, events: dict[str, int], effects: dict[str, int]
) -> None:
    recording = record()
    assert len(recording.lives) == lives
    for name, least in events.items():
        assert recording.events[name] >= least, recording.events
    for name, least in effects.items():
        assert recording.effects[name] >= least, recording.effects
    assert sum(bool(found) for life in recording.lives for _, found in life.readings) >= 100
    for life in recording.lives:
        assert recording.replay(life) is None, f"{life.node}: another effect than recorded"


def test_a_changed_record_is_noticed() -> None:
    recording = chain()
    relay = next(life for life in recording.lives if life.node == "n1")
    place = next(
        number
        for number, step in enumerate(relay.steps)
        if number > 300 and b"BellMeasured" in step[1] and step[2]
    )
    now_ns, event, effects = relay.steps[place]
    relay.steps[place] = (now_ns + 1, event, effects)
    with pytest.raises(AssertionError, match="another time"):
        recording.replay(relay)

    relay.steps[place] = (now_ns, event, effects)
    del relay.steps[place - 1]
    assert recording.replay(relay) is not None

    tail = next(life for life in recording.lives if life.node == "n3")
    read = next(index for index, (_, found) in enumerate(tail.readings) if index > 100 and found)
    tail.readings[read] = (tail.readings[read][0], [])
    assert recording.replay(tail) is not None
