"""The tags of an ID Quantique Time Controller as blocks without silent gaps (instruments.md 2.1).

Owns one run of a stream: acquisitions of a crashed client are stopped first, the recorder is set to
sub-acquisitions (else the instrument keeps tags back until its buffers are full), messages of all channels
are matched by their number, and what may be missing is stated: the dead time between sub-acquisitions, and
those in which the instrument reports errors. Refuses to hand over a block when DataLinkTarget has seen more
sub-acquisitions than have arrived: which one a message belongs to would be a guess, so the run ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.drivers.faults import DeviceError, LinkTimeout, ProtocolFault
from bellwire.drivers.id900_data_link import DataLink, PairSockets, stream_ports
from bellwire.drivers.id900_words import (
    CHANNELS,
    STREAM_PORT_BASE,
    ControllerPlace,
    pass_through,
    pass_through_orders,
    referenced_times_of,
    times_of,
)
from bellwire.drivers.session import Session, SessionSettings
from bellwire.drivers.tag_streaming import StreamLimits
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POLL_S = 0.05
RATE_HZ_MAX = 10_000_000.0
ALIGNMENT_POLLS_MAX = 10
MESSAGES_AHEAD_MAX = 4
"""How many sub-acquisitions a channel may be ahead of another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """`block_ps`: length of a sub-acquisition, 0.2 s or more by the maker's word. `dead_ps`: the time after
    each in which the instrument is blind, 40 ns or more. `reference_period_ps`: tags are told against the
    edges of input START, which has that period, and counted from the first edge in each sub-acquisition, up
    to one period after its start; None: against that start itself. `silence_s`: how long beyond its end a
    sub-acquisition is waited for.
    """

    block_ps: int = 250_000_000_000
    dead_ps: int = 40_000
    reference_period_ps: int | None = None
    silence_s: float = 3.0
    limits: StreamLimits = field(default_factory=StreamLimits)


class BuffersOverflowed(DeviceError):
    """The buffers of the instrument have overflowed; it delivers nothing more until somebody restarts it."""

    def __init__(self, instrument: str) -> None:
        super().__init__(
            instrument,
            "errors of the tag buffers cannot be cleared: switch the instrument off and on by hand, and keep"
            f" the rate of all channels together below {RATE_HZ_MAX:g} Hz",
        )


class Controller(Protocol):
    """What a stream asks of the driver of its instrument."""

    async def order(self, command: str) -> None: ...

    async def ask(self, *queries: str) -> list[str]: ...


class TagStream:
    """One run of a stream: `run` hands blocks to `take` until `stop` or a fault."""

    def __init__(
        self,
        instrument: str,
        where: ControllerPlace,
        controller: Controller,
        settings: StreamSettings,
        session_settings: SessionSettings,
        take: Callable[[TagBlock], None],
        epoch: int,
    ) -> None:
        self.stale_stopped = 0
        self._instrument = instrument
        self._where = where
        self._controller = controller
        self._settings = settings
        self._session_settings = session_settings
        self._take = take
        self._epoch = epoch
        self._ending = False
        self._doubtful = False
        self._messages: Mapping[int, deque[bytes]] = {channel: deque() for channel in CHANNELS}
        self._taken = 0

    @property
    def blocks(self) -> int:
        """How many were handed over."""
        return self._taken

    def stop(self) -> None:
        """Let `run` end in good order, within a poll and a few requests."""
        self._ending = True

    async def run(self) -> None:
        """Stream until `stop`. Raises DeviceFault; then nothing more is known of this run's time."""
        data_link_place = self._where.data_link
        if data_link_place is None:
            raise LocalMisuse(f"{self._instrument} has no DataLinkTarget: there are no tags to stream")
        host = data_link_place.host
        ports = stream_ports(host, self._where.stream_port, STREAM_PORT_BASE, CHANNELS)
        data_link = DataLink(self._instrument, data_link_place, self._session_settings)
        sockets = PairSockets(self._instrument, host, ports)
        receiver = Session(f"{self._instrument}-tags", sockets, self._session_settings)
        started: dict[int, str] = {}
        try:
            await data_link.open()
            for identifier in await data_link.list():
                await data_link.stop(identifier)
                self.stale_stopped += 1
            await self._prepare()
            for channel, port in ports.items():
                started[channel] = await data_link.start(
                    self._where.controller.host,
                    channel,
                    port,
                    with_reference=self._settings.reference_period_ps is not None,
                )
                await self._controller.order(f"RAW{channel}:SEND ON")
            await receiver.open()
            await self._controller.order("REC:PLAY")
            await self._pump(receiver, sockets, data_link, started)
        finally:
            await self._end(data_link, receiver, started.values())

    async def _prepare(self) -> None:
        order = self._controller.order
        reference = "NONE" if self._settings.reference_period_ps is None else "STAR"
        await order("REC:STOP")
        for channel in CHANNELS:
            for command in pass_through_orders(channel):
                await order(command)
            combiner = f"TSCO{pass_through(channel)}"
            await order(f"RAW{channel}:REF:LINK {reference};:RAW{channel}:STOP:LINK {combiner}")
            await order(f"RAW{channel}:ERRORS:CLEAR")
        period_ps = self._settings.block_ps + self._settings.dead_ps
        await order("REC:TRIG:ARM:MODE MANU")
        await order("REC:ENAB ON;NUM INF")
        await order(f"REC:PWID {self._settings.block_ps};PPER {period_ps}")
        found = await self._controller.ask("REC:PWID?", "REC:PPER?", "RAW1:STOP:LINK?")
        if not found[2].strip().upper().startswith(f"TSCO{pass_through(1)}"):
            raise DeviceError(self._instrument, f"RAW1 was linked to TSCO5 but reads {found[2]!r}")

    async def _end(self, data_link: DataLink, receiver: Session, identifiers: Iterable[str]) -> None:
        """Leave nothing running, as far as the lines still carry."""
        with contextlib.suppress(DeviceFault):
            await self._controller.order("REC:STOP")
            for channel in CHANNELS:
                await self._controller.order(f"RAW{channel}:SEND OFF")
        for identifier in identifiers:
            with contextlib.suppress(DeviceFault):
                await data_link.stop(identifier)
        await receiver.close()
        await data_link.close()

    async def _pump(
        self,
        receiver: Session,
        sockets: PairSockets,
        data_link: DataLink,
        started: Mapping[int, str],
    ) -> None:
        silence_s = (self._settings.block_ps + self._settings.dead_ps) / 1e12 + self._settings.silence_s
        clock = asyncio.get_running_loop().time
        heard_at_s = clock()
        while not self._ending:
            await self._receive(receiver, sockets)
            while all(self._messages.values()):
                await self._check_alignment(receiver, sockets, data_link, started)
                messages = {channel: waiting.popleft() for channel, waiting in self._messages.items()}
                lost = await self._tags_were_lost()
                self._take(self._block(messages, everything_lost=lost or self._doubtful))
                self._doubtful = lost  # the errors may have come with the sub-acquisition that runs now
                self._taken += 1
                heard_at_s = clock()
            ahead = max(map(len, self._messages.values()))
            if ahead > MESSAGES_AHEAD_MAX:
                silent = [channel for channel, waiting in self._messages.items() if not waiting]
                raise ProtocolFault(
                    self._instrument, f"channels {silent} are {ahead} sub-acquisitions behind the others"
                )
            if clock() - heard_at_s > silence_s:
                raise LinkTimeout(self._instrument, f"no sub-acquisition for {silence_s:g} s")

    async def _receive(self, receiver: Session, sockets: PairSockets) -> None:
        for channel, octets in await receiver.call(lambda: sockets.receive(POLL_S), timeout_s=POLL_S):
            self._messages[channel].append(octets)

    async def _check_alignment(
        self, receiver: Session, sockets: PairSockets, data_link: DataLink, started: Mapping[int, str]
    ) -> None:
        """Raises ProtocolFault when a message is missing: those after it would get wrong times."""
        for channel, identifier in started.items():
            missing = 0
            for _ in range(ALIGNMENT_POLLS_MAX):
                status = await data_link.status(identifier)
                if status.errors:
                    problem = f"DataLinkTarget, channel {channel}: {status.errors[-1]}"
                    raise ProtocolFault(self._instrument, problem)
                missing = status.acquisitions - self._taken - len(self._messages[channel])
                if missing <= 0:
                    break
                await self._receive(receiver, sockets)
            else:
                raise ProtocolFault(
                    self._instrument, f"{missing} sub-acquisitions of channel {channel} never arrived"
                )

    async def _tags_were_lost(self) -> bool:
        """Whether the instrument lost tags since the last look. Raises BuffersOverflowed when only a restart
        helps.
        """
        lost = any(await self._error_counts())
        if lost:
            for channel in CHANNELS:
                await self._controller.order(f"RAW{channel}:ERRORS:CLEAR")
            if self._doubtful and any(await self._error_counts()):
                raise BuffersOverflowed(self._instrument)
        return lost

    async def _error_counts(self) -> list[int]:
        replies = await self._controller.ask(*(f"RAW{channel}:ERRORS?" for channel in CHANNELS))
        try:
            return [int(reply) for reply in replies]
        except ValueError:
            raise ProtocolFault(self._instrument, f"RAW#:ERRORS? answered {replies}") from None

    def _block(self, messages: Mapping[int, bytes], *, everything_lost: bool) -> TagBlock:
        import numpy as np

        settings = self._settings
        start_ps = self._taken * (settings.block_ps + settings.dead_ps)
        blind_ps = start_ps + settings.block_ps
        stop_ps = blind_ps + settings.dead_ps
        times = [self._times(channel, octets) for channel, octets in messages.items()]
        time_ps = np.concatenate(times) + start_ps
        channel_of = np.repeat(np.array(list(messages), np.int16), [len(part) for part in times])
        order = np.argsort(time_ps, kind="stable")
        lost = (start_ps, stop_ps) if everything_lost else (blind_ps, stop_ps)
        return TagBlock(self._epoch, start_ps, stop_ps, time_ps[order], channel_of[order], (lost,))

    def _times(self, channel: int, octets: bytes) -> NDArray[np.int64]:
        period_ps = self._settings.reference_period_ps
        try:
            times = times_of(octets) if period_ps is None else referenced_times_of(octets, period_ps)
        except ValueError as error:
            raise ProtocolFault(self._instrument, f"tags of channel {channel}: {error}") from None
        if len(times) and int(times[-1]) >= self._settings.block_ps + self._settings.dead_ps:
            raise ProtocolFault(
                self._instrument,
                f"a tag of channel {channel} lies {int(times[-1])} ps after the start of a sub-acquisition of"
                f" {self._settings.block_ps} ps",
            )
        return times
