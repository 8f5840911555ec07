"""Driver of the heralding FPGA in another role: a time tagger of four inputs on a serial line or UDP.

Owns one FPGA that serves no link: the board has one owner, and one ring of records. Inputs are digital:
thresholds belong to the discriminators before them. Times are those of the board's clock, in its epoch;
`time_base` says where the last PPS lies in them.

The line carries some 30 000 tags a second at 3 Mbaud. What does not fit is told as lost intervals.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import ClassVar

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.device_clock import FS_PER_NS, Clock, TimeBase
from bellwire.drivers.faults import DeviceError
from bellwire.drivers.fpga_tag_stream import FpgaTagStream
from bellwire.drivers.framed_device import FramedSettings
from bellwire.drivers.framed_instrument import FramedInstrument
from bellwire.drivers.frames import HERALD_RECORDS_BYTES, Bound, Events, Lost
from bellwire.drivers.herald_registers import HeraldRegisters
from bellwire.drivers.instrument import Backoff, InstrumentState
from bellwire.drivers.parameters import Parameter, for_each
from bellwire.drivers.readings import Value
from bellwire.drivers.register_bursts import Key, read_registers
from bellwire.drivers.time_tags import Counts, TagBlock

CHANNELS = (1, 2, 3, 4)
DELAY_MAX_PS = 8_000_000
COMMIT_S = 0.01
FS_PER_PS = 1_000


class FpgaTagger(FramedInstrument):
    """Time tagger on the heralding FPGA; channels 1 .. 4 are its inputs 0 .. 3.

    `path`: its serial line, or udp://HOST:PORT. `pace` is what all equipment takes; this device makes nobody
    wait. `tags_dropped`: tags that the last reader was too slow for; each is inside a lost interval.
    """

    model = "herald_fpga"
    map_name = "herald_fpga"
    record_bytes = HERALD_RECORDS_BYTES
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="dead_time",
            meaning="after each accepted edge, of all channels",
            unit="ns",
            read="read_dead_time_ns",
            write="set_dead_time_ns",
            low=0.0,
            high=100_000.0,
            tolerance=10.0,
        ),
        *for_each(
            CHANNELS,
            Parameter(
                name="delay",
                meaning="added to the times of channel {}, to the fine unit of the clock",
                unit="ps",
                read="read_delay_ps",
                write="set_delay_ps",
                low=-float(DELAY_MAX_PS),
                high=float(DELAY_MAX_PS),
                tolerance=1000.0,
            ),
        ),
        *for_each(
            CHANNELS,
            Parameter(
                name="falling",
                meaning="channel {} takes falling edges",
                kind="switch",
                read="read_falling",
                write="set_falling",
            ),
        ),
    )

    def __init__(
        self,
        name: str,
        path: str,
        *,
        serial_number: str | None = None,
        framed: FramedSettings | None = None,
        backoff: Backoff | None = None,
        on_state: Callable[[InstrumentState], None] | None = None,
        pace: float = 1.0,
    ) -> None:
        super().__init__(
            name, path, serial_number=serial_number, framed=framed, backoff=backoff, on_state=on_state
        )
        self.address = path
        self.bank = HeraldRegisters(self.link)
        self._wanted: dict[str, Value] = {}
        self._stream: FpgaTagStream | None = None
        self.tags_dropped = 0
        self.link.on_events = self._take_events
        self.link.on_bound = self._take_bound
        self.link.on_lost = self._take_lost
        self.link.on_gap = self._take_gap

    @property
    def channels(self) -> Sequence[int]:
        """Numbers of the inputs."""
        return CHANNELS

    # -- configuration --------------------------------------------------------------------------------------

    async def configure(self, wanted: Mapping[str, Value]) -> None:
        """Remember values by parameter name, and assert them now when connected, else at the next
        connection. What is not named is at its default: 40 ns dead time, no delay, rising edges.

        Raises LocalMisuse (unknown, out of range), DeviceError (refused, or reads back else).
        """
        self._wanted = {name: self.parameter(name).checked(value) for name, value in wanted.items()}
        await self._apply_if_open()

    def _has_configuration(self) -> bool:
        return True

    def _registers(self, clock: Clock) -> dict[Key, int]:
        """What the remembered values say."""
        enable = self.link.map["ENABLE"].fields
        dead_fs = round(float(self._wanted.get("dead_time", 40.0)) * FS_PER_NS)
        values: dict[Key, int] = {("FRAME_LEN", 0): 0, ("ATT_MAX", 0): 0}
        for index, channel in enumerate(CHANNELS):
            delay_fs = round(float(self._wanted.get(f"delay.{channel}", 0.0)) * FS_PER_PS)
            falling = int(bool(self._wanted.get(f"falling.{channel}", False)))
            values["DEAD", index] = round(dead_fs / clock.tick_fs)
            values["OFFS", index] = round((delay_fs << clock.fine_bits) / clock.tick_fs)
            values["ENABLE", index] = enable["on"].place(1) | enable["falling"].place(falling)
        return values

    async def _assert_configuration(self) -> None:
        clock, _, _ = await self.bank.sizes()
        await self.bank.assert_all(self._registers(clock), {}, COMMIT_S)
        if self._stream is not None:
            await self._begin_stream(self._stream)

    def _forget(self) -> None:
        if self._stream is not None:
            self._stream.forget()

    async def safe_state(self) -> None:
        """No run and no tags."""
        await self._set("CTRL", 0)

    async def _change(self, name: str, value: Value) -> None:
        self._wanted[name] = value
        await self._apply_if_open()

    async def set_dead_time_ns(self, dead_time_ns: float) -> None:
        """Dead time of all channels after an accepted edge, to the tick of the clock."""
        await self._change("dead_time", dead_time_ns)

    async def read_dead_time_ns(self) -> float:
        """What the device has, of channel 1."""
        clock, _, _ = await self.bank.sizes()
        return await self.link.read("DEAD", 0) * clock.tick_fs / FS_PER_NS

    async def set_delay_ps(self, channel: int, delay_ps: int) -> None:
        """Add to the times of a channel, to the fine unit of the clock; -8 .. 8 us."""
        self._index(channel)
        await self._change(f"delay.{channel}", self.parameter(f"delay.{channel}").checked(delay_ps))

    async def read_delay_ps(self, channel: int) -> int:
        """What is added to the times of a channel."""
        clock, _, _ = await self.bank.sizes()
        return clock.femtoseconds(await self.link.read("OFFS", self._index(channel))) // FS_PER_PS

    async def set_falling(self, channel: int, falling: bool) -> None:
        """Take falling edges instead of rising ones."""
        self._index(channel)
        await self._change(f"falling.{channel}", falling)

    async def read_falling(self, channel: int) -> bool:
        """Whether a channel takes falling edges."""
        enable = await self.link.read("ENABLE", self._index(channel))
        return bool(self.link.map["ENABLE"].fields["falling"].extract(enable))

    async def set_threshold_mv(self, channel: int, level_mv: float) -> None:
        """Raises LocalMisuse: the inputs are digital."""
        raise LocalMisuse(f"channel {channel} of {self.name} is digital; set the discriminator before it")

    async def read_threshold_mv(self, channel: int) -> float:
        """Raises LocalMisuse: the inputs are digital."""
        raise LocalMisuse(f"channel {channel} of {self.name} is digital; ask the discriminator before it")

    def _index(self, channel: int) -> int:
        if channel not in CHANNELS:
            raise LocalMisuse(f"{self.name} has the channels {CHANNELS}, not {channel}")
        return channel - 1

    # -- counts and tags ------------------------------------------------------------------------------------

    async def time_base(self) -> TimeBase:
        """Where the last PPS lies in the times of the board, and of which epoch."""
        return await self.bank.time_base()

    async def count(self, window_s: float) -> Counts:
        """Singles of all channels over one window that begins now.

        Both ends are latched by the device in one moment, so `window_s` of the answer is what passed for the
        counters. Raises LocalMisuse for a window that is not positive, DeviceError when the clock was lost.
        """
        if window_s <= 0:
            raise LocalMisuse(f"window_s = {window_s} must be positive")
        clock, _, _ = await self.bank.sizes()
        before = await self._snapshot()
        taken_at_ns = time.time_ns()
        await asyncio.sleep(window_s)
        after = await self._snapshot()
        passed_s = (after["SNAP_TIME", 0] - before["SNAP_TIME", 0]) * clock.tick_fs / 1e15
        if after["TIME_EPOCH", 0] != before["TIME_EPOCH", 0]:
            raise DeviceError(self.name, "the clock was lost while counting: the window has no length")
        singles = {
            channel: (after["SNAP_COUNT", index] - before["SNAP_COUNT", index]) & 0xFFFF_FFFF
            for index, channel in enumerate(CHANNELS)
        }
        return Counts(passed_s, singles, True, taken_at_ns)

    async def _snapshot(self) -> dict[Key, int]:
        await self.link.write("CMD", self.link.map["CMD"].fields["latch"].place(1))
        counts: list[Key] = [("SNAP_COUNT", index) for index in range(len(CHANNELS))]
        return await read_registers(self.link, [("SNAP_TIME", 0), *counts, ("TIME_EPOCH", 0)])

    async def tags(self) -> AsyncGenerator[TagBlock, None]:
        """Blocks of tags from now on, without gaps but those stated in `lost`; a new epoch after a restart or
        a loss of the clock.

        Goes on over a reconnection while the instrument is supervised. Raises LocalMisuse when somebody else
        reads the tags already, DeviceError and the faults of a link when the stream cannot begin.
        """
        if self._stream is not None:
            raise LocalMisuse(f"{self.name} streams tags already: one reader at a time")
        self._stream = stream = FpgaTagStream(self.name)
        try:
            async with self._configuration_lock:
                self._require_ready()
                await self._begin_stream(stream)
            while True:
                yield await stream.queue.get()
        finally:
            self._stream = None
            self.tags_dropped = stream.queue.tags_dropped
            if self._is_open():
                await self._set("CTRL", 0)

    def _take_events(self, events: Events) -> None:
        if self._stream is not None:
            self._stream.take_events(events)

    def _take_bound(self, bound: Bound) -> None:
        if self._stream is not None:
            self._stream.take_bound(bound)

    def _take_lost(self, lost: Lost) -> None:
        if self._stream is not None:
            self._stream.take_lost(lost)

    def _take_gap(self, _first: int, _resumed_at: int) -> None:
        if self._stream is not None:
            self._stream.take_gap()

    async def _begin_stream(self, stream: FpgaTagStream) -> None:
        clock, _, _ = await self.bank.sizes()
        offsets = await read_registers(self.link, [("OFFS", index) for index in range(len(CHANNELS))])
        epoch = await self.link.read("TIME_EPOCH")
        if stream.goes_on(clock, tuple(offsets.values()), epoch):
            return  # the same device, after a broken line: its ring has kept what was not acknowledged
        stream.listen(clock, tuple(offsets.values()), epoch)
        await self._set("CTRL", self.link.map["CTRL"].fields["tags"].place(1))
        stream.begin(await self.link.read("TIME") + 1 << clock.fine_bits)
