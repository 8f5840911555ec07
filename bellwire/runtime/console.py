"""The console: reaches instruments of a live lab over the bus, through the agents that own them.

Owns its end of the bus (it is no node: machines never hear of it), the questions under way and the holds.
Fulfils `bellwire.calibration.access.Access`. Refuses a second console of the same lab, and to wait for an
agent that is gone: whoever waits for its answer is told at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bellwire.core.errors import ConfigError, DeviceFault, LocalMisuse, PeerViolation
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.instrument_messages import (
    CONSOLE,
    InstrumentAnswer,
    InstrumentDescribe,
    InstrumentDescribed,
    InstrumentMessage,
    InstrumentQuestion,
    LinkRestGranted,
    LinkRestWanted,
    OnLoss,
    TagsChunk,
)
from bellwire.core.messages import BusMessage
from bellwire.core.registry import nearest
from bellwire.core.units import NS_PER_S
from bellwire.drivers.faults import Disconnected
from bellwire.drivers.leases import LeaseLost
from bellwire.drivers.readings import InstrumentSeen
from bellwire.runtime.bus_words import BusSettings
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.console_answers import NoAnswer, expect
from bellwire.runtime.console_hold import HeldOverBus
from bellwire.runtime.health import Health
from bellwire.runtime.keys import Keyring
from bellwire.runtime.lab_words import EquipmentEntry, LabEntry
from bellwire.runtime.liveness import PeerState
from bellwire.runtime.network import Network
from bellwire.runtime.store import AgentLock, claim_incarnation

REACH_S: Final = 10.0
"""An agent that is not heard of within this is not there."""
GRACE_S: Final = 2.0
"""An answer may come so much later than its question's time, which the agent keeps itself."""
DESCRIBE_S: Final = 10.0
REST_WITHIN_S: Final = 30.0
"""A rest is agreed on like any window: within some answers, unless the other end is away."""


@dataclass(slots=True, eq=False)
class _Asked:
    agent: NodeId
    about: str
    owner: object | None  # None: nobody's hold
    answer: asyncio.Future[InstrumentAnswer]
    on_chunk: Callable[[TagsChunk], None] | None
    timer: asyncio.TimerHandle


class Console:
    """An asynchronous context manager: entering binds the address that the lab names."""

    def __init__(
        self, lab: LabEntry, state_dir: Path, *, bus: BusSettings | None = None, reach_s: float = REACH_S
    ) -> None:
        self.health = Health()
        self._lab = lab
        self._state_dir = state_dir
        self._bus = bus or BusSettings()
        self._reach_s = reach_s
        self._entries: dict[str, EquipmentEntry] = {one.full_name: one for one in lab.equipment}
        self._network: Network | None = None
        self._lock: AgentLock | None = None
        self._number = 0
        self._asked: dict[int, _Asked] = {}
        self._holds: set[HeldOverBus] = set()
        self._lives: dict[NodeId, int | None] = {}  # incarnations of agents that are up
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Raises ConfigError: the lab names no console, or another one runs (who holds what is told)."""
        if self._lab.console is None:
            raise ConfigError(
                'the lab names no console; add `console: {address: "tcp://127.0.0.1:PORT"}`',
                where=self._lab.path,
            )
        agents = self._state_dir / "agents"
        try:
            self._lock = AgentLock(agents, CONSOLE)
        except ConfigError as taken:
            raise ConfigError(f"{taken.problem}; it holds {self._told_holds()}", where=taken.where) from None
        try:
            keyring = None
            if self._bus.security == "curve":
                keyring = Keyring(self._state_dir / "keys", CONSOLE)
                keyring.make(CONSOLE)
            life = claim_incarnation(agents, CONSOLE)
            network = Network(CONSOLE, life, self, LiveClock(), self.health, keyring, self._bus)
            network.start(self._lab.console)
            self._network = network
            for agent, address in self._lab.addresses.items():
                network.add_peer(agent, address, takes_facts=False)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.fail(lambda asked: True, lambda asked: Disconnected(asked.about, "the console was closed"))
        self._lives.clear()
        if self._network is not None:
            self._network.close()
            self._network = None
        if self._lock is not None:
            self._holds_file.unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    # ---- what procedures ask

    @asynccontextmanager
    async def hold(
        self,
        instruments: Sequence[str],
        holder: str,
        *,
        lease_s: float = 10.0,
        on_loss: OnLoss = "safe",
    ) -> AsyncIterator[HeldOverBus]:
        """As of `Access`. `on_loss`: what each agent does with what was written when the lease ends without
        us: its safe state, or the values that stood before.

        Raises LeaseRefused naming the holder, ConfigError for an unknown instrument, Disconnected.
        """
        by_agent: dict[NodeId, list[str]] = {}
        for name in dict.fromkeys(instruments):
            by_agent.setdefault(self.owner(name), []).append(name)
        held = HeldOverBus(self, holder, lease_s, on_loss)
        self._holds.add(held)
        try:
            for agent in sorted(by_agent):
                await held.acquire(agent, by_agent[agent])
                self._note_holds()
            yield held
        finally:
            await held.end()
            self._holds.discard(held)
            self._note_holds()

    async def seen(self, instruments: Sequence[str]) -> tuple[InstrumentSeen, ...]:
        """As of `Access`."""
        told = await self.described(instruments)
        return tuple(
            InstrumentSeen(
                one.instrument, self._entries[one.instrument].driver, one.serial_number, one.firmware
            )
            for one in told
        )

    async def described(self, instruments: Sequence[str]) -> tuple[InstrumentDescribed, ...]:
        """Identity, state and parameters of each, without a lease. Raises ConfigError, DeviceFault."""
        return tuple(await asyncio.gather(*(self._described(name) for name in instruments)))

    async def _described(self, name: str) -> InstrumentDescribed:
        within_ns = round(DESCRIBE_S * NS_PER_S)
        answer = await self.ask(
            self.owner(name),
            lambda number: InstrumentDescribe(number=number, instrument=name, within_ns=within_ns),
            about=name,
        )
        return expect(answer, InstrumentDescribed, name)

    async def rest(
        self, link: LinkId, length_s: float, *, within_s: float = REST_WITHIN_S
    ) -> LinkRestGranted:
        """Wait until the link's schedule places a rest, which may lie ahead by a few delays of the link.

        Raises ConfigError for an unknown link, LocalMisuse when another calibration waits for one,
        LinkTimeout, Disconnected.
        """
        if link not in self._lab.network.links:
            raise ConfigError(f'no link is called "{link}"{nearest(link, self._lab.network.links)}')
        answer = await self.ask(
            self._lab.network.links[link].nodes[0],
            lambda number: LinkRestWanted(
                number=number,
                link=link,
                length_ns=round(length_s * NS_PER_S),
                within_ns=round(within_s * NS_PER_S),
            ),
            about=link,
        )
        return expect(answer, LinkRestGranted, link)

    def owner(self, instrument: str) -> NodeId:
        """The agent of that instrument. Raises ConfigError with the nearest name."""
        entry = self._entries.get(instrument)
        if entry is None:
            raise ConfigError(
                f'no equipment is called "{instrument}"{nearest(instrument, self._entries)}',
                where=self._lab.path,
            )
        return entry.owner

    # ---- questions

    async def reach(self, agent: NodeId, about: str) -> None:
        """Return when the agent is there. Raises ConfigError for one that cannot be, Disconnected after
        `reach_s`."""
        if agent not in self._lab.addresses:
            raise ConfigError(
                f"{agent} has no bus address, so {about} cannot be reached", where=self._lab.path
            )
        try:
            async with asyncio.timeout(self._reach_s):
                while agent not in self._lives:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            address = self._lab.addresses[agent]
            raise Disconnected(
                about, f"{agent} does not answer at {address} within {self._reach_s:g} s; is the lab up?"
            ) from None

    def begin(
        self,
        agent: NodeId,
        make: Callable[[int], InstrumentQuestion],
        *,
        about: str,
        owner: object | None = None,
        grace_s: float = GRACE_S,
        on_chunk: Callable[[TagsChunk], None] | None = None,
    ) -> tuple[int, asyncio.Future[InstrumentAnswer]]:
        """Ask; the number of the question, and its terminal answer to come.

        That raises NoAnswer when its time has passed, Disconnected when the agent is gone, or what `fail`
        was told.
        """
        self._number += 1
        number = self._number
        question = make(number)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[InstrumentAnswer] = loop.create_future()
        allowed_s = question.within_ns / NS_PER_S + grace_s
        late = NoAnswer(about, f"{agent} gave no answer within {allowed_s:g} s")
        timer = loop.call_later(allowed_s, _set_failure, answer, late)
        self._asked[number] = _Asked(agent, about, owner, answer, on_chunk, timer)
        answer.add_done_callback(lambda _: self._forget(number))
        self.post(agent, question)
        return number, answer

    async def ask(
        self,
        agent: NodeId,
        make: Callable[[int], InstrumentQuestion],
        *,
        about: str,
        owner: object | None = None,
        grace_s: float = GRACE_S,
    ) -> InstrumentAnswer:
        """As `begin`, after the agent was reached, and waits for the answer."""
        await self.reach(agent, about)
        return await self.begin(agent, make, about=about, owner=owner, grace_s=grace_s)[1]

    def post(self, agent: NodeId, message: InstrumentMessage) -> None:
        """Send one message. Raises LocalMisuse when the console is closed."""
        if self._network is None:
            raise LocalMisuse("the console is not open: use it as an asynchronous context manager")
        self._network.post(agent, message, "control")

    def fail(self, which: Callable[[_Asked], bool], why: Callable[[_Asked], Exception]) -> None:
        """These questions are answered by failures."""
        for asked in tuple(self._asked.values()):
            if which(asked):
                _set_failure(asked.answer, why(asked))

    def fail_of(self, owner: object, failure: DeviceFault) -> None:
        """All questions of this owner are answered by a failure."""
        self.fail(lambda asked: asked.owner is owner, lambda asked: LeaseLost(asked.about, failure.detail))

    def _forget(self, number: int) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            asked.timer.cancel()

    # ---- from the network

    def on_message(self, source: NodeId, incarnation: int, message: BusMessage) -> None:
        """Answers and chunks. Raises PeerViolation for anything else."""
        if isinstance(message, TagsChunk):
            asked = self._asked.get(message.number)
            if asked is not None and asked.agent == source and asked.on_chunk is not None:
                asked.on_chunk(message)
        elif isinstance(message, InstrumentAnswer):
            asked = self._asked.get(message.number)
            if asked is None or asked.agent != source:
                self.health.count("answer_unasked", source=source, number=message.number)
            elif not asked.answer.done():
                asked.answer.set_result(message)
        else:
            raise PeerViolation(source, f"{type(message).__name__} is nothing that a console is told")

    def on_peer(self, peer: NodeId, state: PeerState, incarnation: int | None) -> None:
        """An agent has come, has gone, or lives anew: what was asked of its old life has no answer."""
        known = self._lives.get(peer)
        if known is not None and (state == "down" or incarnation != known):
            why = f"{peer} is down" if state == "down" else f"{peer} was started anew"
            for held in tuple(self._holds):
                held.on_agent_lost(peer, why)
            self.fail(lambda asked: asked.agent == peer, lambda asked: Disconnected(asked.about, why))
        if state == "down":
            self._lives.pop(peer, None)
        else:
            self._lives[peer] = incarnation
        self._changed.set()

    def is_up(self, agent: NodeId) -> bool:
        """Whether the agent is there as far as we know."""
        return agent in self._lives

    # ---- what a second console is told

    @property
    def _holds_file(self) -> Path:
        return self._state_dir / "agents" / f"{CONSOLE}.holds"

    def _note_holds(self) -> None:
        lines = [
            f"{', '.join(held.instruments)} for {held.holder}" for held in self._holds if held.instruments
        ]
        self._holds_file.write_text("; ".join(lines), encoding="utf-8")

    def _told_holds(self) -> str:
        try:
            return self._holds_file.read_text(encoding="utf-8") or "nothing at present"
        except FileNotFoundError:
            return "nothing at present"


def _set_failure(answer: asyncio.Future[InstrumentAnswer], failure: Exception) -> None:
    if not answer.done():
        answer.set_exception(failure)
        answer.exception()  # whoever waits gets it; nobody may wait any more
