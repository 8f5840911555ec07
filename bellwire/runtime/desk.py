"""The instrument desk of one agent: answers what the console asks about the agent's instruments.

Owns the questions under way: each is carried out once, within its time, beside the machine, and ends in
exactly one terminal answer. A question that comes again gets the answer that was given. Refuses everybody but
the console (the agent sees to that), and to do anything for a life of the console that is over.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, assert_never

from bellwire.core.errors import ConfigError, DeviceFault, LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.core.instrument_messages import (
    CONSOLE,
    CountsTold,
    CountsWanted,
    InstrumentAnswer,
    InstrumentDescribe,
    InstrumentDescribed,
    InstrumentFaulted,
    InstrumentMessage,
    InstrumentQuestion,
    InstrumentRefused,
    InstrumentsAcquire,
    InstrumentsAcquired,
    InstrumentSafe,
    LeasesRelease,
    LeasesRenew,
    LinkRestGranted,
    LinkRestWanted,
    ParameterCard,
    ParameterRead,
    ParameterTold,
    ParameterWrite,
    QuestionDone,
    Refusal,
    StorageTold,
    StorageWanted,
    TagsChunk,
    TagsCredit,
    TagsEnded,
    TagsStop,
    TagsWanted,
)
from bellwire.core.units import NS_PER_S
from bellwire.drivers.equipment import Equipment
from bellwire.drivers.leases import LeaseRefused
from bellwire.drivers.roles import TimeTagger
from bellwire.runtime.desk_holds import Holds
from bellwire.runtime.desk_tags import TagSender
from bellwire.runtime.equipment import NodeEquipment
from bellwire.runtime.health import Health
from bellwire.runtime.link_rests import LinkRests
from bellwire.runtime.liveness import PeerState
from bellwire.runtime.outbox import Urgency
from bellwire.runtime.storage_trials import StorageTrials

QUESTIONS_MAX: Final = 256
"""Under way at the same time; more are refused as busy."""
ANSWERS_KEPT: Final = 1_024
"""Terminal answers that a repeated question gets again."""

Post = Callable[[InstrumentMessage, Urgency], None]
"""Sends one message to the console."""


class InstrumentDesk:
    """The desk of one agent; `post` sends to the console."""

    def __init__(
        self,
        equipment: NodeEquipment,
        health: Health,
        post: Post,
        console: NodeId = CONSOLE,
        *,
        rests: LinkRests | None = None,
        trials: StorageTrials | None = None,
    ) -> None:
        """`rests`: of the links of the agent's node; `trials`: of its memory; None: it has none."""
        self.console = console
        self._rests = rests
        self._trials = trials
        self._health = health
        self._post = post
        self._holds = Holds(equipment, health, self._on_hold_end)
        self._incarnation: int | None = None
        self._last = 0  # number of the latest question
        self._running: dict[int, asyncio.Task[None]] = {}
        self._streams: dict[int, TagSender] = {}
        self._verdicts: dict[asyncio.Task[None], InstrumentAnswer] = {}  # of tasks that are to be cancelled
        self._answers: OrderedDict[int, InstrumentAnswer] = OrderedDict()

    def status(self) -> dict[str, Any]:
        """Who holds what, ready for JSON."""
        return {"holds": self._holds.status(), "questions": len(self._running)}

    async def close(self) -> None:
        """Answer nothing more; instruments are left to whoever closes the equipment."""
        running = tuple(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._holds.close()

    # ---- from the agent

    def on_console(self, state: PeerState, incarnation: int | None) -> None:
        """A new life of the console ends the old one with all its leases; silence only lets them run out."""
        if incarnation is not None and incarnation != self._incarnation:
            self._begin(incarnation)

    def take(self, incarnation: int, message: InstrumentMessage) -> None:
        """The next message of the console."""
        if incarnation != self._incarnation:
            self._begin(incarnation)
        match message:
            case TagsCredit():
                if message.number in self._streams:
                    self._streams[message.number].grant(message.chunks)
            case TagsStop():
                sender, task = self._streams.get(message.number), self._running.get(message.number)
                if sender is not None and task is not None:
                    self._verdicts[task] = TagsEnded(number=message.number, chunks=sender.chunks)
                    task.cancel()
            case (
                InstrumentsAcquired()
                | QuestionDone()
                | ParameterTold()
                | CountsTold()
                | TagsEnded()
                | TagsChunk()
                | InstrumentDescribed()
                | LinkRestGranted()
                | StorageTold()
                | InstrumentRefused()
                | InstrumentFaulted()
            ):
                self._health.count("instrument_answer_unasked", message=type(message).__name__)
            case _:
                self._begin_question(message)

    def _begin(self, incarnation: int) -> None:
        self._incarnation = incarnation
        self._holds.lose_all("the console has begun a new life")
        for task in self._running.values():
            task.cancel()
        self._running.clear()
        self._streams.clear()
        self._answers.clear()
        self._last = 0

    def _begin_question(self, question: InstrumentQuestion) -> None:
        number = question.number
        if number in self._running or number in self._answers or number <= self._last:
            self._health.count("instrument_question_repeated", number=number)
            if number in self._answers:
                self._post(self._answers[number], "control")
            elif number not in self._running:
                self._post(_refused(number, "repeated", f"question {number} was asked before"), "control")
            return
        self._last = number
        if len(self._running) >= QUESTIONS_MAX:
            self._end(question, _refused(number, "busy", f"{QUESTIONS_MAX} questions are under way"))
            return
        task = asyncio.get_running_loop().create_task(self._answer(question))
        self._running[number] = task
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._verdicts.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "the instrument desk has failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    def _on_hold_end(self, tasks: set[asyncio.Task[None]], reason: str) -> None:
        for number, task in self._running.items():
            if task in tasks:
                self._verdicts[task] = _refused(number, "lease", reason)

    def _end(self, question: InstrumentQuestion, answer: InstrumentAnswer) -> None:
        self._answers[answer.number] = answer
        while len(self._answers) > ANSWERS_KEPT:
            self._answers.popitem(last=False)
        # A stream's after its chunks, which are in that class: what overtook them would end it too early.
        self._post(answer, "facts" if isinstance(question, TagsWanted) else "control")

    # ---- one question

    async def _answer(self, question: InstrumentQuestion) -> None:
        """Carry out and answer. A task whose life of the console has ended answers nobody."""
        task, life = asyncio.current_task(), self._incarnation
        assert task is not None
        answer: InstrumentAnswer = _faulted(question, DeviceFault(_of(question), "the agent failed within"))
        told = True
        try:
            async with asyncio.timeout(question.within_ns / NS_PER_S):
                answer = await self._carry_out(question)
        except TimeoutError:
            detail = f"not done within {question.within_ns / NS_PER_S:g} s; nobody can say how far it came"
            answer = InstrumentFaulted(
                number=question.number, instrument=_of(question), kind="LinkTimeout", detail=detail
            )
        except LeaseRefused as problem:
            answer = _refused(question.number, "lease", str(problem))
        except LocalMisuse as problem:
            answer = _refused(question.number, "misuse", str(problem))
        except ConfigError as problem:
            answer = _refused(question.number, "unknown", str(problem))
        except DeviceFault as fault:
            answer = _faulted(question, fault)
        except asyncio.CancelledError:
            verdict = self._verdicts.get(task)
            if verdict is None:
                told = False
                raise
            answer = verdict
        finally:
            if told and self._incarnation == life:
                self._running.pop(question.number, None)
                self._streams.pop(question.number, None)
                self._end(question, answer)

    async def _carry_out(self, question: InstrumentQuestion) -> InstrumentAnswer:
        holds, number = self._holds, question.number
        match question:
            case InstrumentsAcquire():
                tokens = await holds.grant(
                    question.instruments, question.holder, question.lease_ns, question.on_loss
                )
                return InstrumentsAcquired(number=number, tokens=tokens)
            case LeasesRenew():
                holds.renew(question.tokens, question.lease_ns)
                return QuestionDone(number=number)
            case LeasesRelease():
                await holds.release(question.tokens, abandoned=question.abandoned)
                return QuestionDone(number=number)
            case ParameterRead():
                if question.token is not None:
                    holds.check(question.instrument, question.token)
                reading = await holds.driver(question.instrument).read_parameter(question.parameter)
                return ParameterTold(
                    number=number, value=reading.value, unit=reading.unit, quality=reading.quality.value
                )
            case ParameterWrite():
                return await self._write(question)
            case CountsWanted():
                with holds.under(question.instrument, question.token):
                    counts = await _tagger(holds.driver(question.instrument)).count(question.window_s)
                return CountsTold(
                    number=number,
                    window_s=counts.window_s,
                    singles=dict(counts.singles),
                    valid=counts.valid,
                    taken_at_ns=counts.taken_at_ns,
                )
            case TagsWanted():
                with holds.under(question.instrument, question.token, stream=True):
                    sender = TagSender(question, lambda chunk: self._post(chunk, "facts"))
                    self._streams[number] = sender
                    return await sender.run(holds.driver(question.instrument))
            case InstrumentSafe():
                if question.token is None:
                    await holds.make_safe(question.instrument)
                else:
                    with holds.under(question.instrument, question.token):
                        await holds.make_safe(question.instrument)
                return QuestionDone(number=number)
            case LinkRestWanted():
                if self._rests is None:
                    raise LocalMisuse("no node with links answers here")
                rest = await self._rests.rest(question.link, question.length_ns)
                return LinkRestGranted(number=number, begins_ns=rest.begins_ns, ends_ns=rest.ends_ns)
            case StorageWanted():
                if self._trials is None:
                    raise LocalMisuse("no node with a memory answers here")
                begun_ns = question.within_ns - question.storage_ns
                bit, stored_ns = await self._trials.store(
                    question.turns, question.basis, question.storage_ns, begun_ns
                )
                return StorageTold(number=number, bit=bit, stored_ns=stored_ns)
            case InstrumentDescribe():
                return _described(number, holds.driver(question.instrument))
            case _:
                assert_never(question)

    async def _write(self, question: ParameterWrite) -> ParameterTold:
        with self._holds.under(question.instrument, question.token) as hold:
            reading = await self._holds.write(
                hold, question.instrument, question.parameter, question.value, question.token
            )
        if reading is None:
            return ParameterTold(number=question.number, value=None, unit="", quality="")
        return ParameterTold(
            number=question.number, value=reading.value, unit=reading.unit, quality=reading.quality.value
        )


def _tagger(driver: Equipment) -> TimeTagger:
    if not isinstance(driver, TimeTagger):
        raise LocalMisuse(f"{driver.name} is no time tagger")
    return driver


def _of(question: InstrumentQuestion) -> str:
    """Which instrument a question is about, in words where there are several."""
    match question:
        case InstrumentsAcquire():
            return ", ".join(question.instruments)
        case LeasesRenew() | LeasesRelease():
            return ", ".join(question.tokens)
        case LinkRestWanted():
            return question.link
        case StorageWanted():
            return "memory"
        case _:
            return question.instrument


def _refused(number: int, kind: Refusal, problem: str) -> InstrumentRefused:
    return InstrumentRefused(number=number, kind=kind, problem=problem)


def _faulted(question: InstrumentQuestion, fault: DeviceFault) -> InstrumentFaulted:
    return InstrumentFaulted(
        number=question.number,
        instrument=fault.instrument,
        kind=type(fault).__name__,
        detail=fault.detail,
    )


def _described(number: int, driver: Equipment) -> InstrumentDescribed:
    identity, lease = driver.identity, driver.leases.current
    return InstrumentDescribed(
        number=number,
        instrument=driver.name,
        model=driver.model if identity is None else identity.model,
        serial_number="" if identity is None else identity.serial_number,
        firmware="" if identity is None else identity.firmware,
        condition=driver.state.condition.value,
        reason=driver.state.reason,
        held_by=None if lease is None else lease.holder,
        parameters=tuple(
            ParameterCard(
                name=one.name,
                meaning=one.meaning,
                unit=one.unit,
                kind=one.kind,
                readable=one.read is not None,
                settable=one.write is not None,
                emits=one.emits,
                low=one.low,
                high=one.high,
                choices=one.choices,
            )
            for one in driver.parameters
        ),
    )
