"""How long things take in a live run, read from its step logs: messages, herald records, Bell measurements.

Owns the pairing of causes and effects. A step log holds events only, so the effects are made again by fresh
machines, as in a replay. All agents of one computer read the same clock.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field

from bellwire.core.codec import encode
from bellwire.core.effects import MeasureBell, Send
from bellwire.core.events import BellMeasured, QubitHeld, Received, StationHeralded
from bellwire.core.ids import NodeId
from bellwire.labs import Lab
from bellwire.runtime.node_process import machine_factory
from tests.hosts.recorded import RecordedRun


@dataclass(slots=True)
class Latencies:
    """Sorted, in ns."""

    messages: list[int] = field(default_factory=list)  # from the step that sends to the step that takes it in
    heralds: list[int] = field(default_factory=list)  # from the click to the step of the station
    held: list[int] = field(default_factory=list)  # from the click to the step of the memory's node
    bell: list[int] = field(default_factory=list)  # from the order to the step that takes the result in


def latencies(lab: Lab, run: RecordedRun) -> Latencies:
    """Latencies of a run without restarts."""
    found = Latencies()
    sent: dict[tuple[NodeId, NodeId, bytes], deque[int]] = defaultdict(deque)
    received: list[tuple[int, tuple[NodeId, NodeId, bytes]]] = []
    make = machine_factory(lab)
    for node in run.agents:
        machine = make(node)
        ordered: dict[int, int] = {}
        for _, now_ns, event in run.steps(node):
            match event:
                case Received():
                    received.append((now_ns, (event.source, node, encode(event.message))))
                case StationHeralded():
                    found.heralds.append(now_ns - event.at_ns)
                case QubitHeld():
                    found.held.append(now_ns - event.at_ns)
                case BellMeasured() if event.operation in ordered:
                    found.bell.append(now_ns - ordered.pop(event.operation))
            for effect in machine.handle(now_ns, event):
                if isinstance(effect, Send) and effect.to != node:
                    sent[node, effect.to, encode(effect.message)].append(now_ns)
                elif isinstance(effect, MeasureBell):
                    ordered[effect.operation] = now_ns
    for now_ns, key in sorted(received):
        while sent[key] and sent[key][0] <= now_ns:
            found.messages.append(now_ns - sent[key].popleft())
            break
    for values in (found.messages, found.heralds, found.held, found.bell):
        values.sort()
    return found
