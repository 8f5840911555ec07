"""Instruments that the console holds: orders under their tokens, renewal, and the news that a lease is lost.

Owns one hold over the agents that own its instruments. Fulfils `bellwire.calibration.access.Held`. Once any
lease of it is lost (an agent gone or started anew, a renewal refused or unanswered, an order of which nobody
can say what became), all of it is: every order under way and every later one raises LeaseLost, and the other
agents are asked to do what they do when a holder vanishes. Refuses to go on with a part of its instruments.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from bellwire.core.errors import DeviceFault, LocalMisuse, PeerViolation
from bellwire.core.ids import NodeId
from bellwire.core.instrument_messages import (
    CountsTold,
    CountsWanted,
    InstrumentAnswer,
    InstrumentQuestion,
    InstrumentsAcquire,
    InstrumentsAcquired,
    InstrumentSafe,
    LeasesRelease,
    LeasesRenew,
    OnLoss,
    ParameterRead,
    ParameterTold,
    ParameterWrite,
    QuestionDone,
    StorageTold,
    StorageWanted,
    TagsCredit,
    TagsEnded,
    TagsStop,
    TagsWanted,
)
from bellwire.core.units import NS_PER_S
from bellwire.drivers.leases import LeaseLost
from bellwire.drivers.qubit_storage import Preparation, Stored
from bellwire.drivers.readings import Value
from bellwire.drivers.time_tags import Counts, TagBlock
from bellwire.runtime.console_answers import NoAnswer, expect
from bellwire.runtime.console_tags import CREDIT, TagReceiver

if TYPE_CHECKING:
    from bellwire.runtime.console import Console

READ_S: Final = 30.0
WRITE_S: Final = 120.0
"""Settings that move something return when they have arrived."""
COUNT_MORE_S: Final = 15.0
STORE_MORE_S: Final = 30.0
"""Beyond the storage: for a slot to become free, and for operations."""
TAGS_MORE_S: Final = 60.0
"""Beyond the duration: a tagger may be away for half a minute and come back."""
END_S: Final = 5.0
RENEWALS: Final = 3
"""In one length of a lease."""

A = TypeVar("A")


class HeldOverBus:
    """A `Held` over the bus; made by `Console.hold`."""

    def __init__(self, console: Console, holder: str, lease_s: float, on_loss: OnLoss) -> None:
        self.holder = holder
        self._console = console
        self._lease_s = lease_s
        self._on_loss: OnLoss = on_loss
        self._tokens: dict[NodeId, dict[str, int]] = {}  # by agent, by instrument
        self._until_s: dict[NodeId, float] = {}  # monotonic: the agent keeps the lease at least so long
        self._lost: LeaseLost | None = None
        self._receivers: set[TagReceiver] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._abandoning: asyncio.Task[None] | None = None

    @property
    def instruments(self) -> tuple[str, ...]:
        """What is held."""
        return tuple(name for tokens in self._tokens.values() for name in tokens)

    # ---- as of Held

    async def read(self, instrument: str, parameter: str) -> Value:
        """As of `Held`."""
        token = self._token(instrument)
        answer = await self._order(
            instrument,
            lambda number: ParameterRead(
                number=number, instrument=instrument, parameter=parameter, token=token, within_ns=_ns(READ_S)
            ),
        )
        told = self._expect(answer, ParameterTold, instrument)
        if told.value is None:
            raise PeerViolation(instrument, f"{parameter} was read without a value")
        return told.value

    async def write(self, instrument: str, parameter: str, value: Value) -> Value:
        """As of `Held`; a parameter that cannot be read back is taken as set."""
        token = self._token(instrument)
        answer = await self._order(
            instrument,
            lambda number: ParameterWrite(
                number=number,
                instrument=instrument,
                parameter=parameter,
                value=value,
                token=token,
                within_ns=_ns(WRITE_S),
            ),
        )
        told = self._expect(answer, ParameterTold, instrument)
        return value if told.value is None else told.value

    async def count(self, instrument: str, window_s: float) -> Counts:
        """As of `Held`."""
        token = self._token(instrument)
        within_ns = _ns(max(window_s, 0.0) + COUNT_MORE_S)
        answer = await self._order(
            instrument,
            lambda number: CountsWanted(
                number=number, instrument=instrument, window_s=window_s, token=token, within_ns=within_ns
            ),
        )
        told = self._expect(answer, CountsTold, instrument)
        return Counts(told.window_s, told.singles, told.valid, told.taken_at_ns)

    async def tags(
        self, instrument: str, duration_s: float, channels: Sequence[int] = ()
    ) -> AsyncGenerator[TagBlock, None]:
        """As of `Held`. A reader who is slow is told in `lost` what that has cost."""
        token, agent = self._token(instrument), self._console.owner(instrument)
        stream = 0  # known before the first chunk comes
        receiver = TagReceiver(
            instrument, lambda chunks: self._console.post(agent, TagsCredit(number=stream, chunks=chunks))
        )
        stream, answer = self._console.begin(
            agent,
            lambda number: TagsWanted(
                number=number,
                instrument=instrument,
                duration_ps=round(duration_s * 1e12),
                channels=tuple(channels),
                credit=CREDIT,
                token=token,
                within_ns=_ns(max(duration_s, 0.0) + TAGS_MORE_S),
            ),
            about=instrument,
            owner=self,
            on_chunk=receiver.put,
        )
        answer.add_done_callback(lambda _: receiver.end())
        self._receivers.add(receiver)
        try:
            while (block := await receiver.get()) is not None:
                yield block
            self._expect(await self._answered(answer, instrument), TagsEnded, instrument)
        finally:
            self._receivers.discard(receiver)
            if not answer.done():
                self._console.post(agent, TagsStop(number=stream))
                await asyncio.wait({answer})

    async def store(self, node: str, state: Preparation, storage_s: float) -> Stored:
        """As of `Held`."""
        storage_ns = _ns(storage_s)
        answer = await self._console.ask(
            node,
            lambda number: StorageWanted(
                number=number,
                turns=state.turns,
                basis=state.basis,
                storage_ns=storage_ns,
                within_ns=storage_ns + _ns(STORE_MORE_S),
            ),
            about=f"the memory of {node}",
            owner=self,
        )
        told = self._expect(answer, StorageTold, f"the memory of {node}")
        stored_s = None if told.stored_ns is None else told.stored_ns / NS_PER_S
        return Stored(told.bit, stored_s)

    async def safe(self, instrument: str) -> None:
        """As of `Held`."""
        token = self._token(instrument)
        answer = await self._order(
            instrument,
            lambda number: InstrumentSafe(
                number=number, instrument=instrument, token=token, within_ns=_ns(WRITE_S)
            ),
        )
        self._expect(answer, QuestionDone, instrument)

    # ---- leases

    async def acquire(self, agent: NodeId, instruments: Sequence[str]) -> None:
        """Lease these of one agent, too. Raises LeaseRefused naming the holder, DeviceFault."""
        asked_s = time.monotonic()
        about = ", ".join(instruments)
        answer = await self._console.ask(
            agent,
            lambda number: InstrumentsAcquire(
                number=number,
                instruments=tuple(instruments),
                holder=self.holder,
                lease_ns=_ns(self._lease_s),
                on_loss=self._on_loss,
                within_ns=_ns(WRITE_S),
            ),
            about=about,
        )
        self._tokens[agent] = expect(answer, InstrumentsAcquired, about, acquiring=True).tokens
        self._until_s[agent] = asked_s + self._lease_s
        if self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_task(self._keep_renewing())

    async def end(self) -> None:
        """Give everything back; what is lost already was given up."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        if self._abandoning is not None:
            await self._abandoning
        elif self._tokens:
            await self._release(abandoned=False)

    def on_agent_lost(self, agent: NodeId, why: str) -> None:
        """From the console: an agent is gone, or has begun a new life."""
        if agent in self._tokens:
            self._lose(", ".join(self._tokens[agent]), f"the lease ended with its agent: {why}")

    def _lose(self, instrument: str, why: str) -> LeaseLost:
        if self._lost is None:
            self._lost = LeaseLost(instrument, why)
            self._console.fail_of(self, self._lost)
            for receiver in self._receivers:
                receiver.fail(self._lost)
            self._abandoning = asyncio.get_running_loop().create_task(self._release(abandoned=True))
        return self._lost

    async def _release(self, *, abandoned: bool) -> None:
        """Tell every agent that is there; what cannot be told runs out by itself."""

        async def tell(agent: NodeId, tokens: dict[str, int]) -> None:
            if not self._console.is_up(agent):
                return
            try:
                await self._console.ask(
                    agent,
                    lambda number: LeasesRelease(
                        number=number, tokens=tokens, abandoned=abandoned, within_ns=_ns(END_S)
                    ),
                    about=", ".join(tokens),
                )
            except DeviceFault as fault:
                self._console.health.count("lease_not_given_back", agent=agent, problem=str(fault))

        await asyncio.gather(*(tell(agent, tokens) for agent, tokens in self._tokens.items()))

    async def _keep_renewing(self) -> None:
        while self._lost is None:
            await asyncio.sleep(self._lease_s / RENEWALS)
            await asyncio.gather(*(self._renew(agent) for agent in tuple(self._tokens)))

    async def _renew(self, agent: NodeId) -> None:
        asked_s, tokens = time.monotonic(), self._tokens[agent]
        about = ", ".join(tokens)
        try:
            answer = await self._console.ask(
                agent,
                lambda number: LeasesRenew(
                    number=number,
                    tokens=tokens,
                    lease_ns=_ns(self._lease_s),
                    within_ns=_ns(self._lease_s / 2),
                ),
                about=about,
                owner=self,
                grace_s=0.0,
            )
            expect(answer, QuestionDone, about)
        except (DeviceFault, LocalMisuse) as problem:
            detail = problem.detail if isinstance(problem, DeviceFault) else str(problem)
            self._lose(about, f"the lease was not renewed: {detail}")
            return
        self._until_s[agent] = asked_s + self._lease_s

    # ---- orders

    def _token(self, instrument: str) -> int:
        """The token of a lease that is in force. Raises LeaseLost, LocalMisuse."""
        agent = self._console.owner(instrument)
        if instrument not in self._tokens.get(agent, {}):
            raise LocalMisuse(f"{instrument} is not held, only {', '.join(self.instruments) or 'nothing'}")
        if self._lost is None and time.monotonic() > self._until_s[agent]:
            self._lose(instrument, f"the lease of {self.holder} has run out before it was renewed")
        if self._lost is not None:
            raise LeaseLost(self._lost.instrument, self._lost.detail)
        return self._tokens[agent][instrument]

    async def _order(self, instrument: str, make: Callable[[int], InstrumentQuestion]) -> InstrumentAnswer:
        agent = self._console.owner(instrument)
        answer = self._console.begin(agent, make, about=instrument, owner=self)[1]
        return await self._answered(answer, instrument)

    async def _answered(self, answer: asyncio.Future[InstrumentAnswer], instrument: str) -> InstrumentAnswer:
        try:
            return await answer
        except NoAnswer as late:
            raise self._lose(instrument, late.detail) from late

    def _expect(self, answer: InstrumentAnswer, kind: type[A], instrument: str) -> A:
        """As `expect`; a lease that is refused is lost."""
        try:
            return expect(answer, kind, instrument)
        except LeaseLost as lost:
            raise self._lose(instrument, lost.detail) from lost


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
