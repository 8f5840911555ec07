"""The host of one machine: order of work, faults by whose fault they are, the record and its replay."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bellwire.core.codec import decode_event
from bellwire.core.effects import Effect, MeasureBell, Persist, Publish, Report, Send
from bellwire.core.errors import LocalMisuse, PeerViolation
from bellwire.core.events import Event, Received, Record, RequestCancelled, Started, TimerFired
from bellwire.core.facts import Began
from bellwire.core.messages import FactBatch, Watermark
from bellwire.runtime.agent import EXIT_MISUSE, EXIT_STORE, Agent
from bellwire.runtime.bus_words import BusSettings
from bellwire.runtime.clock import DeadlineTimer, LiveClock
from bellwire.runtime.health import Health
from bellwire.runtime.network import Network
from bellwire.runtime.store import RecordStore, StoreFault
from bellwire.runtime.trace import AgentTrace, effects_digest, read_framed, read_steps
from tests.runtime.buses import FAST_INTERVAL_NS, until


class ScriptedMachine:
    """A machine that remembers its events and answers with what the script says."""

    def __init__(self, script: Callable[[int, Event], list[Effect]] = lambda now_ns, event: []) -> None:
        self.next_deadline_ns: int | None = None
        self.script = script
        self.told: list[tuple[int, Event]] = []

    def handle(self, now_ns: int, event: Event) -> list[Effect]:
        self.told.append((now_ns, event))
        if isinstance(event, TimerFired):
            self.next_deadline_ns = None
        return self.script(now_ns, event)

    def kinds(self) -> list[str]:
        return [type(event).__name__ for _, event in self.told]


def make_agent(tmp_path: Path, machine: ScriptedMachine, name: str = "alice") -> Agent:
    clock = LiveClock()
    return Agent(name, 1, machine, clock, Health(), AgentTrace(tmp_path, name, 1))


async def test_the_first_event_is_started_with_the_incarnation_and_the_records(tmp_path: Path) -> None:
    machine = ScriptedMachine()
    agent = make_agent(tmp_path, machine)
    records = (Record(kind="request", key="r", body=b"x"),)
    agent.start(records)
    agent.stop()
    assert await agent.ended == 0
    assert machine.told[0][1] == Started(incarnation=1, records=records)


async def test_an_event_that_arises_within_a_step_waits_until_the_step_is_over(tmp_path: Path) -> None:
    order: list[str] = []

    class Instant:
        def carry_out(self, _order: Effect) -> None:
            order.append("order begun")
            agent.feed(TimerFired())
            order.append("order given")

    def script(_now_ns: int, event: Event) -> list[Effect]:
        order.append(type(event).__name__)
        if isinstance(event, Started):
            return [MeasureBell(operation=1, left_slot=0, right_slot=1, within_ns=1)]
        return []

    agent = make_agent(tmp_path, ScriptedMachine(script))
    agent.devices = Instant()
    agent.start()
    agent.stop()
    assert order == ["Started", "order begun", "order given", "TimerFired"]


async def test_a_misuse_writes_the_trail_and_ends_the_process_with_70(tmp_path: Path) -> None:
    def script(_now_ns: int, event: Event) -> list[Effect]:
        if isinstance(event, RequestCancelled):
            raise LocalMisuse("slot 3 is free already")
        return []

    agent = make_agent(tmp_path, ScriptedMachine(script))
    agent.start()
    agent.feed(RequestCancelled(request="r"))
    agent.feed(TimerFired())
    assert await agent.ended == EXIT_MISUSE
    trail = json.loads((tmp_path / "agents" / "alice" / "trail-000001.json").read_text())
    assert trail["broken"]["event"] == {"t": "RequestCancelled", "request": "r"}
    assert trail["broken"]["problem"] == "slot 3 is free already"
    assert [step["event"]["t"] for step in trail["steps"]] == ["Started"]
    assert agent.steps == 1  # nothing was fed after the misuse


async def test_an_exception_that_nobody_foresaw_ends_the_process_with_70_and_a_trail(tmp_path: Path) -> None:
    agent = make_agent(tmp_path, ScriptedMachine())
    agent.start()
    agent.on_unforeseen("KeyError: 7")
    agent.on_unforeseen("KeyError: 8")
    assert await agent.ended == EXIT_MISUSE
    trail = json.loads((tmp_path / "agents" / "alice" / "trail-000001.json").read_text())
    assert trail["broken"]["event"] is None
    assert trail["broken"]["problem"] == "KeyError: 7"


async def test_a_violation_by_a_peer_is_counted_and_the_agent_lives_on(tmp_path: Path) -> None:
    def script(_now_ns: int, event: Event) -> list[Effect]:
        if isinstance(event, Received):
            raise PeerViolation("bob", "a window of last year")
        return []

    machine = ScriptedMachine(script)
    agent = make_agent(tmp_path, machine)
    agent.start()
    agent.on_message("bob", 1, Watermark(incarnation=1, last=1))
    agent.feed(TimerFired())
    assert agent.health.counts["peer_violation"] == 1
    assert machine.kinds() == ["Started", "Received", "TimerFired"]
    agent.stop()
    assert await agent.ended == 0


async def test_a_persisted_record_comes_back_as_an_event_and_survives(tmp_path: Path) -> None:
    record = Record(kind="delivery", key="1", body=b"pair")

    def script(_now_ns: int, event: Event) -> list[Effect]:
        return [Persist(token=9, record=record)] if isinstance(event, Started) else []

    loop = asyncio.get_running_loop()
    machine = ScriptedMachine(script)
    agent = make_agent(tmp_path, machine)
    agent.store = RecordStore(
        tmp_path / "alice.sqlite",
        lambda tokens: loop.call_soon_threadsafe(agent.on_stored, tokens) and None,
        lambda fault: None,
    )
    agent.start(agent.store.open())
    await until(lambda: "Persisted" in machine.kinds(), "the record is persisted")
    agent.stop()
    again = RecordStore(tmp_path / "alice.sqlite", lambda tokens: None, lambda fault: None)
    assert again.open() == (record,)
    again.close()


async def test_a_disk_that_fails_ends_the_agent_with_74(tmp_path: Path) -> None:
    agent = make_agent(tmp_path, ScriptedMachine())
    agent.start()
    agent.on_store_fault(StoreFault("records", "disk full"))
    assert await agent.ended == EXIT_STORE
    assert agent.health.counts["store_fault"] == 1


async def test_timers_never_fire_before_their_deadline_and_always_fire(tmp_path: Path) -> None:
    fired: list[tuple[int, int]] = []
    machine = ScriptedMachine()
    agent = make_agent(tmp_path, machine)
    clock = LiveClock()

    def script(now_ns: int, event: Event) -> list[Effect]:
        if isinstance(event, TimerFired):
            fired.append((wanted[-1], now_ns))
        if len(fired) < 40:
            wanted.append(clock.now_ns() + 137_000 * (len(fired) % 7))
            machine.next_deadline_ns = wanted[-1]
        return []

    wanted: list[int] = []
    machine.script = script
    agent.start()
    await until(lambda: len(fired) == 40, "40 timers")
    assert all(deadline_ns <= now_ns for deadline_ns, now_ns in fired)
    agent.stop()


async def test_a_timer_that_sleeps_by_a_fast_clock_looks_again_instead_of_firing_early() -> None:
    now_ns = 1_000
    readings = 0

    def read() -> int:
        nonlocal readings, now_ns
        readings += 1
        now_ns += 100  # far slower than the loop's clock
        return now_ns

    clock = LiveClock(read)
    fired: list[int] = []
    timer = DeadlineTimer(clock, lambda: fired.append(now_ns))
    timer.set(2_000)
    await until(lambda: bool(fired), "the timer")
    assert fired[0] >= 2_000
    assert readings >= 10


def test_the_clock_never_runs_backwards_and_counts_the_steps() -> None:
    readings = iter([10, 20, 5, 12, 30])
    clock = LiveClock(lambda: next(readings))
    assert [clock.now_ns() for _ in range(5)] == [10, 20, 20, 20, 30]
    assert (clock.steps_back, clock.step_back_max_ns) == (2, 15)


async def test_the_record_holds_every_input_and_the_digest_of_its_effects(tmp_path: Path) -> None:
    batch = FactBatch(incarnation=1, first=1, facts=(Began(incarnation=1, survivors=(), at_ns=5),))

    def script(now_ns: int, event: Event) -> list[Effect]:
        report = Report(name="seen", request=None, fields={"kind": type(event).__name__, "event": 1})
        return [report, Publish(batch=batch, urgent_to=())] if isinstance(event, Started) else [report]

    machine = ScriptedMachine(script)
    agent = make_agent(tmp_path, machine)
    agent.start()
    agent.feed(RequestCancelled(request="r"))
    agent.stop()
    folder = tmp_path / "agents" / "alice"
    entries = list(read_steps(folder / "steps-000001.bin"))
    assert [(entry.now_ns, decode_event(entry.event)) for entry in entries] == machine.told
    assert [entry.effects for entry in entries] == [effects_digest(script(*told)) for told in machine.told]
    assert len(list(read_framed(folder / "facts-000001.bin"))) == 1
    reports = [json.loads(line) for line in (folder / "reports-000001.jsonl").read_text().splitlines()]
    assert [report["fields"]["kind"] for report in reports] == ["Started", "RequestCancelled"]
    # A process that was killed while writing leaves a torn last entry; what is whole is read.
    torn = folder / "torn.bin"
    torn.write_bytes((folder / "steps-000001.bin").read_bytes()[:-3])
    assert len(list(read_steps(torn))) == len(entries) - 1


def test_the_digest_of_effects_tells_every_byte_and_every_order_apart() -> None:
    one = Report(name="a", request=None, fields={"x": 1})
    other = Report(name="a", request=None, fields={"x": 2})
    digests = {
        effects_digest(effects) for effects in ([], [one], [other], [one, other], [other, one], [one, one])
    }
    assert len(digests) == 6


async def test_two_agents_talk_over_the_bus(tmp_path: Path) -> None:
    agents: list[Agent] = []
    machines: list[ScriptedMachine] = []
    for name, other in (("alice", "bob"), ("bob", "alice")):

        def script(_now_ns: int, event: Event, other: str = other) -> list[Effect]:
            if (
                isinstance(event, Received)
                and isinstance(event.message, Watermark)
                and event.message.last < 200
            ):
                answer = Watermark(incarnation=1, last=event.message.last + 1)
                return [Send(to=other, message=answer, urgency="outcome")]
            return []

        machine = ScriptedMachine(script)
        agent = make_agent(tmp_path, machine, name)
        settings = BusSettings(interval_ns=FAST_INTERVAL_NS, security="plaintext")
        agent.network = Network(name, 1, agent, LiveClock(), agent.health, None, settings)
        agents.append(agent)
        machines.append(machine)
    alice, bob = agents
    assert alice.network is not None
    assert bob.network is not None
    endpoints = {agent.name: agent.network.start("tcp://127.0.0.1:*") for agent in agents if agent.network}
    alice.network.add_peer("bob", endpoints["bob"])
    bob.network.add_peer("alice", endpoints["alice"])
    for agent in agents:
        agent.start()
    await until(lambda: all("PeerChanged" in machine.kinds() for machine in machines), "both are up")
    alice.on_message("bob", 1, Watermark(incarnation=1, last=0))
    await until(
        lambda: sum(kinds.count("Received") for kinds in map(ScriptedMachine.kinds, machines)) == 201,
        "200 answers",
    )
    for agent in agents:
        agent.stop()
        assert await agent.ended == 0


@pytest.mark.parametrize("exit_code", [0, EXIT_MISUSE])
async def test_stopping_twice_keeps_the_first_exit_code(tmp_path: Path, exit_code: int) -> None:
    agent = make_agent(tmp_path, ScriptedMachine())
    agent.start()
    agent.stop(exit_code)
    agent.stop(1)
    assert await agent.ended == exit_code
