"""Driver of the Swabian Instruments Time Tagger 20, Ultra and X through the maker's library (instruments.md
2.2).

Owns the addresses, the life of the library's objects, and the meaning of its errors. The library is
proprietary and optional: it is imported in the thread that opens the instrument, never before, and never
comes with bellwire; every call of it runs in that thread under a watchdog. Refuses trigger levels beyond what
the instrument says it can do. Opening over USB sets the instrument to its start-up state, because the library
has no other way; a network server keeps its settings. Never checked on a physical instrument.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar, TypeVar

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.faults import DeviceError, Disconnected
from bellwire.drivers.instrument import Backoff, Identity, InstrumentState
from bellwire.drivers.parameters import Parameter, for_each
from bellwire.drivers.session import SessionSettings, Transport
from bellwire.drivers.swabian_library import VendorTransport, fault_of
from bellwire.drivers.swabian_stream import SwabianStream
from bellwire.drivers.tag_queue import TagQueue
from bellwire.drivers.tag_streaming import StreamLimits, TagStreaming
from bellwire.drivers.time_tags import Counts

T = TypeVar("T")

CHANNELS_MAX = 20
LEVEL_MV = (-2500.0, 2500.0)
LEVEL_TOLERANCE_MV = 2.5
DELAY_PS_MAX = 1_000_000_000_000
WINDOW_NS = (0.002, 1_000_000.0)
COUNT_S = (0.001, 3600.0)
FINISH_MS = 2000


class SwabianTimeTagger(TagStreaming):
    """A Time Tagger at `usb`, `usb:SERIAL` or `tcp://HOST[:41101]` (a Time Tagger server).

    `library`: what stands for the module `Swabian.TimeTagger`; None imports it when it is needed.
    """

    model = "Time Tagger"
    session_settings: ClassVar[SessionSettings] = SessionSettings(timeout_s=5.0, hang_s=15.0)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="coincidence_window_ns",
            meaning="full coincidence window: partners lie within half of it",
            unit="ns",
            read="read_window_ns",
            write="set_window_ns",
            low=WINDOW_NS[0],
            high=WINDOW_NS[1],
            tolerance=0.001,
        ),
        Parameter(
            name="coincidence_patterns",
            meaning="patterns of channels that are counted, as 1-2 1-3 1-2-3",
            kind="text",
            read="read_patterns",
            write="set_patterns",
        ),
        *for_each(
            range(1, CHANNELS_MAX + 1),
            Parameter(
                name="threshold_mv",
                meaning="trigger level of input {}",
                unit="mV",
                read="read_threshold_mv",
                write="set_threshold_mv",
                low=LEVEL_MV[0],
                high=LEVEL_MV[1],
                tolerance=LEVEL_TOLERANCE_MV,
            ),
        ),
        *for_each(
            range(1, CHANNELS_MAX + 1),
            Parameter(
                name="delay_ps",
                meaning="delay of input {}",
                unit="ps",
                kind="integer",
                read="read_delay_ps",
                write="set_delay_ps",
                low=-DELAY_PS_MAX,
                high=DELAY_PS_MAX,
            ),
        ),
        *for_each(
            range(1, CHANNELS_MAX + 1),
            Parameter(
                name="test_signal",
                meaning="internal test signal on input {}, instead of its connector",
                kind="switch",
                read="read_test_signal",
                write="set_test_signal",
                emits=True,
            ),
        ),
        Parameter(
            name="overflows", meaning="overflows since the start", kind="integer", read="read_overflows"
        ),
    )

    stream_limits: StreamLimits = StreamLimits()

    def __init__(
        self,
        name: str,
        address: str,
        *,
        serial_number: str | None = None,
        settings: SessionSettings | None = None,
        backoff: Backoff | None = None,
        on_state: Callable[[InstrumentState], None] | None = None,
        probe_s: float | None = None,
        pace: float = 1.0,
        library: Any = None,
    ) -> None:
        super().__init__(
            name,
            address,
            serial_number=serial_number,
            settings=settings,
            backoff=backoff,
            on_state=on_state,
            probe_s=probe_s,
            pace=pace,
        )
        self._library_given = library
        self._vendor: VendorTransport | None = None
        self._channels: tuple[int, ...] = ()
        self._level_range_mv = LEVEL_MV
        self._window_ps = 1000
        self._patterns: tuple[tuple[int, ...], ...] | None = None

    # -- life -----------------------------------------------------------------------------------------------

    def _transport(self) -> Transport:
        self._vendor = VendorTransport(
            self.name, self.address, self._expected_serial_number, self._library_given
        )
        return self._vendor

    async def _open(self) -> None:
        try:
            await super()._open()
        except ConfigError:  # the library is not installed, or the address means nothing
            await self._shut()
            raise

    async def _identify(self) -> Identity:
        def look(tagger: Any, library: Any) -> tuple[Identity, list[int], Sequence[float]]:
            firmware = f"{tagger.getModel()} {tagger.getFirmwareVersion()}"
            identity = Identity("Time Tagger", str(tagger.getSerial()), firmware)
            rising = [int(channel) for channel in tagger.getChannelList(library.ChannelEdge.Rising)]
            return identity, rising, tagger.getDACRange()

        identity, channels, volts = await self.call(look)
        self._channels = tuple(channels)
        self._level_range_mv = (1000 * float(min(volts)), 1000 * float(max(volts)))
        return identity

    async def _probe(self) -> None:
        vendor = self._vendor
        if vendor is not None and vendor.is_network:
            connected = await self.call(lambda tagger, library: bool(tagger.isConnected()))
            if not connected:
                fault = Disconnected(self.name, f"the server at {self.address} is gone")
                self._line().give_up(fault)
                raise fault
        await super()._probe()

    async def safe_state(self) -> None:
        """No test signal on any input, confirmed by read-back; a stream is ended."""
        await self._stop_stream()
        for name in self._wanted:
            if name.startswith("test_signal."):
                self._wanted[name] = False
        for channel in self._channels:
            await self.set_test_signal(channel, False)

    # -- inputs ---------------------------------------------------------------------------------------------

    @property
    def channels(self) -> Sequence[int]:
        """Inputs of the instrument; none before it was first connected."""
        return self._channels

    async def set_threshold_mv(self, channel: int, level_mv: float) -> None:
        """Set the trigger level, within what the instrument says it can do."""
        self._check_channel(channel)
        self._in_range("trigger level", level_mv, self._level_range_mv, "mV")
        await self.call(lambda tagger, library: tagger.setTriggerLevel(channel, level_mv / 1000))
        found_mv = await self.read_threshold_mv(channel)
        self._close_to("trigger level in mV", level_mv, found_mv, LEVEL_TOLERANCE_MV)

    async def read_threshold_mv(self, channel: int) -> float:
        """Trigger level in mV."""
        self._check_channel(channel)
        return 1000 * await self.call(lambda tagger, library: float(tagger.getTriggerLevel(channel)))

    async def set_delay_ps(self, channel: int, delay_ps: int) -> None:
        """Delay an input, up to 1 s either way."""
        self._check_channel(channel)
        self._in_range("delay", delay_ps, (-DELAY_PS_MAX, DELAY_PS_MAX), "ps")
        await self.call(lambda tagger, library: tagger.setInputDelay(channel, delay_ps))
        self._same("delay in ps", delay_ps, await self.read_delay_ps(channel))

    async def read_delay_ps(self, channel: int) -> int:
        """Delay of an input in ps."""
        self._check_channel(channel)
        return await self.call(lambda tagger, library: int(tagger.getInputDelay(channel)))

    async def set_test_signal(self, channel: int, on: bool) -> None:
        """Connect an input to the internal test signal (0.8 to 1 MHz), or to its connector."""
        self._check_channel(channel)
        await self.call(lambda tagger, library: tagger.setTestSignal(channel, on))
        self._same(f"test signal of input {channel}", on, await self.read_test_signal(channel))

    async def read_test_signal(self, channel: int) -> bool:
        """Whether an input has the internal test signal."""
        self._check_channel(channel)
        return await self.call(lambda tagger, library: bool(tagger.getTestSignal(channel)))

    async def read_overflows(self) -> int:
        """Overflows since the start, those of the network included."""
        return await self.call(_overflows)

    # -- counters -------------------------------------------------------------------------------------------

    async def count(self, window_s: float) -> Counts:
        """Singles of all inputs over one window of 1 ms to 1 h; not valid when there was an overflow."""
        channels = self._channels
        counted, valid = await self._count(lambda tagger, library: (list(channels), None), window_s)
        return Counts(window_s, dict(zip(channels, counted, strict=True)), valid, time.monotonic_ns())

    async def set_window_ns(self, window_ns: float) -> None:
        """The full coincidence window; partners lie within half of it. Kept here, for the next count."""
        self._in_range("window", window_ns, WINDOW_NS, "ns")
        self._window_ps = round(1000 * window_ns)

    async def read_window_ns(self) -> float:
        """The full coincidence window in ns."""
        return self._window_ps / 1000

    async def set_patterns(self, text: str) -> None:
        """The patterns to be counted, as `1-2 1-3 1-2-3`. Raises LocalMisuse."""
        try:
            patterns = tuple(tuple(int(channel) for channel in word.split("-")) for word in text.split())
        except ValueError:
            raise LocalMisuse(f"{text!r} is no list of patterns, as 1-2 1-3 1-2-3") from None
        for pattern in patterns:
            if len(pattern) < 2 or len(set(pattern)) != len(pattern):
                raise LocalMisuse(f"{pattern} is no pattern of two or more different channels")
        self._patterns = patterns

    async def read_patterns(self) -> str:
        """The patterns that are counted; without any order all pairs of the first four inputs."""
        return " ".join("-".join(map(str, pattern)) for pattern in self._patterns_now())

    async def count_coincidences(self, window_s: float) -> Mapping[tuple[int, ...], int]:
        """Coincidences of each pattern over one window.

        Raises DeviceError when there was an overflow: then nobody knows how many there were.
        """
        patterns = self._patterns_now()
        for pattern in patterns:
            for channel in pattern:
                self._check_channel(channel)
        half_ps = self._window_ps // 2

        def gates(tagger: Any, library: Any) -> tuple[list[int], object]:
            virtual = library.Coincidences(tagger, [list(pattern) for pattern in patterns], half_ps)
            return [int(channel) for channel in virtual.getChannels()], virtual

        counted, valid = await self._count(gates, window_s)
        if not valid:
            raise DeviceError(self.name, "an overflow during the count: lower the rates and count again")
        return dict(zip(patterns, counted, strict=True))

    async def _count(
        self, select: Callable[[Any, Any], tuple[list[int], object]], window_s: float
    ) -> tuple[list[int], bool]:
        self._in_range("window", window_s, COUNT_S, "s")
        window_ps = round(1e12 * window_s)

        def begin(tagger: Any, library: Any) -> tuple[Any, object, int, object]:
            channels, virtual = select(tagger, library)
            before = _overflows(tagger, library)
            counter = library.Counter(tagger, channels, window_ps, 1)
            counter.startFor(window_ps, True)
            return counter, virtual, before, tagger  # virtual channels live as long as somebody holds them

        def end(tagger: Any, library: Any) -> tuple[list[int], int]:
            if not counter.waitUntilFinished(FINISH_MS):
                raise RuntimeError(f"a count of {window_s:g} s does not end")
            return [int(row[0]) for row in counter.getData()], _overflows(tagger, library)

        counter, virtual, before, owner = await self.call(begin)
        await asyncio.sleep(window_s)
        counts, after = await self.call(end, of=owner)
        del virtual
        return counts, before == after

    def _patterns_now(self) -> tuple[tuple[int, ...], ...]:
        return self._patterns or tuple(combinations(self._channels[:4], 2))

    # -- tags -----------------------------------------------------------------------------------------------

    def _new_run(self, queue: TagQueue, epoch: int) -> SwabianStream:
        return SwabianStream(self.name, self, self._channels, queue.put, epoch)

    def _stream_limits(self) -> StreamLimits:
        return self.stream_limits

    # -- the library ----------------------------------------------------------------------------------------

    async def call(self, work: Callable[[Any, Any], T], *, of: object = None) -> T:
        """Run `work(tagger, library)` in the thread of the library.

        `of`: the tagger to which the measurements in `work` belong. Raises Disconnected when the instrument
        is gone, or was opened anew since, DeviceError for what it refuses, LinkTimeout when a call hangs.
        """
        session, vendor = self._line(), self._vendor
        assert vendor is not None
        if of is not None and of is not vendor.tagger:
            raise Disconnected(self.name, "the instrument was opened anew: its measurements are gone")

        def attempt() -> T | _Refusal:
            try:
                return work(vendor.tagger, vendor.library)
            except (RuntimeError, ValueError, TypeError) as problem:  # all that the library raises
                return _Refusal(problem)

        found = await session.call(attempt)
        if isinstance(found, _Refusal):
            fault = fault_of(self.name, found.problem)
            if isinstance(fault, Disconnected):
                session.give_up(fault)
            raise fault from found.problem
        session.heard_at_ns = time.monotonic_ns()
        return found

    def _check_channel(self, channel: int) -> None:
        if channel not in self._channels:
            there = ", ".join(map(str, self._channels)) or "none before it is connected"
            raise LocalMisuse(f"input {channel} of {self.name}: there are {there}")


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What the library raised. It comes back as a value: a refused order is no fault of the line."""

    problem: Exception


def _overflows(tagger: Any, library: Any) -> int:
    """Those of the hardware, and over the network those of the network as well."""
    client = getattr(tagger, "getOverflowsClient", None)
    return int(tagger.getOverflows() if client is None else client())
