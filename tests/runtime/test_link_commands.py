"""The link service's user at the control channel: CREATE in, answers out, and the record of both."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self, cast

import pytest

from bellwire.core.codec import decode_event
from bellwire.core.effects import AnswerLink, Effect
from bellwire.core.errors import ConfigError
from bellwire.core.events import (
    Event,
    LinkCreateCancelled,
    LinkCreateSubmitted,
    LinkQubitReleased,
    Started,
)
from bellwire.core.ids import End
from bellwire.core.link_words import BasisChoice, LinkAck, LinkCreate, LinkDone, LinkOkMeasure
from bellwire.runtime import commands
from bellwire.runtime.agent import Agent
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.commands import agent_commands
from bellwire.runtime.health import Health
from bellwire.runtime.instruments import NodeInstruments
from bellwire.runtime.node_process import SEED_BITS
from bellwire.runtime.trace import AgentTrace, read_steps


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator["Bench"]:
    """An agent that has not been started yet."""
    with Bench(tmp_path) as bench:
        yield bench


ASKED = {
    "create": 7,
    "partner": "bob",
    "kind": "measure",
    "count": 2,
    "fidelity_min": 0.8,
    "remote": {"random": "XZ", "first": 100},
}
OWN_END = End("west", 3, 14, 1, 0)


class LinkUserMachine:
    """A machine with a link layer that answers every CREATE with ACK, an OK and DONE."""

    def __init__(self) -> None:
        self.next_deadline_ns: int | None = None
        self.links: object = object()
        self.told: list[Event] = []

    def handle(self, now_ns: int, event: Event) -> list[Effect]:
        self.told.append(event)
        if not isinstance(event, LinkCreateSubmitted):
            return []
        create = event.asked.create
        ok = LinkOkMeasure(
            link="west",
            origin="alice",
            create=create,
            asked_here=True,
            end=OWN_END,
            sequence=1,
            basis="Z",
            bit=1,
            frame=3,
            purpose=0,
            remote="bob",
            goodness=0.9,
            goodness_at_ns=now_ns,
            born_ns=now_ns,
        )
        return [
            AnswerLink(answer=LinkAck(link="west", create=create, queue=0, number=1)),
            AnswerLink(answer=ok),
            AnswerLink(answer=LinkDone(link="west", origin="alice", create=create, pairs=1)),
        ]


class Bench:
    """An agent with the commands of its control channel, without sockets."""

    def __init__(self, folder: Path) -> None:
        self.machine = LinkUserMachine()
        self.folder = folder / "agents" / "alice"
        clock = LiveClock()
        self.agent = Agent("alice", 1, self.machine, clock, Health(), AgentTrace(folder, "alice", 1))
        self.commands = agent_commands(self.agent, cast(NodeInstruments, None), clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.agent.stop()

    async def do(self, name: str, **fields: Any) -> Any:
        answer = await self.commands[name]({"do": name} | fields)
        return json.loads(json.dumps(answer))  # the channel can say it


async def test_a_create_becomes_an_event_and_its_answers_can_be_asked_for_by_number(bench: Bench) -> None:
    assert await bench.do("create", asked=ASKED) == {"create": 7}
    asked = LinkCreate(
        create=7,
        partner="bob",
        kind="measure",
        count=2,
        fidelity_min=0.8,
        remote=BasisChoice(random="XZ", first=100),
    )
    assert bench.machine.told == [LinkCreateSubmitted(asked=asked)]
    await bench.do("create", asked=ASKED | {"create": 8})
    answers = await bench.do("link_answers")
    assert [(one["number"], one["answer"]["t"], one["answer"]["create"]) for one in answers] == [
        (1, "LinkAck", 7),
        (2, "LinkOkMeasure", 7),
        (3, "LinkDone", 7),
        (4, "LinkAck", 8),
        (5, "LinkOkMeasure", 8),
        (6, "LinkDone", 8),
    ]
    assert answers[1]["answer"]["end"] == list(OWN_END)
    assert [one["number"] for one in await bench.do("link_answers", after=2, create=8)] == [4, 5, 6]
    assert [one["number"] for one in await bench.do("link_answers", after=2, create=7)] == [3]


async def test_a_create_is_withdrawn_and_a_qubit_is_released_by_what_the_answers_said(bench: Bench) -> None:
    await bench.do("create", asked=ASKED)
    told = (await bench.do("link_answers"))[1]["answer"]["end"]
    assert await bench.do("cancel_create", create=7) == {"create": 7}
    assert await bench.do("release_qubit", end=told) == {"end": told}
    assert bench.machine.told[1:] == [LinkCreateCancelled(create=7), LinkQubitReleased(end=OWN_END)]


@pytest.mark.parametrize(
    ("command", "fields", "problem"),
    [
        ("create", {"asked": ASKED | {"colour": 1}}, "not a CREATE.*colour"),
        ("create", {"asked": ASKED | {"kind": "lend"}}, "not a CREATE.*lend"),
        ("create", {"asked": {"create": 1}}, "not a CREATE.*partner"),
        ("release_qubit", {"end": ["west", 3]}, "not an end"),
    ],
)
async def test_words_that_are_no_create_and_no_end_are_refused_before_the_machine(
    bench: Bench, command: str, fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        await bench.do(command, **fields)
    assert bench.machine.told == []


async def test_a_station_has_no_link_layer_for_users(bench: Bench) -> None:
    del bench.machine.links
    for command, fields in (
        ("create", {"asked": ASKED}),
        ("cancel_create", {"create": 1}),
        ("release_qubit", {"end": list(OWN_END)}),
    ):
        with pytest.raises(ConfigError, match="no link layer"):
            await bench.do(command, **fields)
    assert bench.machine.told == []


async def test_the_shelf_of_answers_is_bounded_and_numbers_show_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "ANSWERS_KEPT", 4)
    with Bench(tmp_path) as bench:
        for create in range(2):
            await bench.do("create", asked=ASKED | {"create": create})
        assert [one["number"] for one in await bench.do("link_answers")] == [3, 4, 5, 6]


async def test_answers_are_written_into_the_run_and_a_node_without_any_has_no_file(tmp_path: Path) -> None:
    with Bench(tmp_path / "asked") as asked, Bench(tmp_path / "quiet") as quiet:
        await asked.do("create", asked=ASKED)
        quiet.agent.start()
    (path,) = asked.folder.glob("answers-*")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["answer"]["t"] for line in lines] == ["LinkAck", "LinkOkMeasure", "LinkDone"]
    assert list(quiet.folder.glob("answers-*")) == []


async def test_the_seed_of_a_life_is_recorded_with_all_its_bits(bench: Bench) -> None:
    seed = (1 << SEED_BITS) - 1
    bench.agent.start(seed=seed)
    bench.agent.stop()
    (entry,) = read_steps(next(bench.folder.glob("steps-*")))
    assert decode_event(entry.event) == Started(incarnation=1, seed=seed)
