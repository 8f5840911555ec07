"""Driver of the ID Quantique Time Controllers ID900 and ID1000: counters, coincidences, histograms, tags
(instruments.md 2.1).

Owns the wiring of combiners, and the turns between those who need them: a stream of tags, the coincidence
counters and histograms exclude each other. Refuses to change anything on connecting: acquisitions that a
crashed client left behind are stopped when tags are first asked for. Sources: public drivers and client
scripts; never checked on a physical instrument.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import DeviceError
from bellwire.drivers.id900_controls import WINDOW_NS, Id900Controls
from bellwire.drivers.id900_streams import BuffersOverflowed, StreamSettings, TagStream
from bellwire.drivers.id900_words import (
    BINS_MAX,
    CHANNELS,
    DATA_LINK_PORT,
    GATES,
    INTEGRATION_MS,
    bins_of,
    controller_place,
    pass_through,
    pass_through_orders,
    second_delay,
)
from bellwire.drivers.tag_queue import TagQueue
from bellwire.drivers.tag_streaming import StreamLimits, TagStreaming
from bellwire.drivers.time_tags import Counts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LATCH_S = 0.02
RECORD_MARGIN_S = 5.0
RECORD_POLL_S = 0.02


class Id900(Id900Controls, TagStreaming):
    """An ID900 at `tcp://HOST:5555[,DATALINK_HOST:6060[,STREAM_PORT]]`; without the second part it streams
    no tags.

    `stream_settings` may be changed while no stream runs.
    """

    model = "ID900"
    stream_settings: StreamSettings = StreamSettings()
    stream_ends = (BuffersOverflowed,)

    @cached_property
    def _counting(self) -> asyncio.Lock:
        """Held while counters run: whoever came second would set them back."""
        return asyncio.Lock()

    async def safe_state(self) -> None:
        """Recorder stopped and no tags sent, confirmed by read-back; inputs drive nothing."""
        await self._stop_stream()
        await self.order("REC:STOP")
        for channel in CHANNELS:
            await self.order(f"RAW{channel}:SEND OFF")
        stage, *sending = await self.ask("REC:STAG?", *(f"RAW{channel}:SEND?" for channel in CHANNELS))
        if stage.strip().upper() == "PLAYING" or any(word.strip().upper() != "OFF" for word in sending):
            raise DeviceError(self.name, f"the recorder is {stage} and sends {sending} after it was stopped")

    # -- counters -------------------------------------------------------------------------------------------

    async def count(self, window_s: float) -> Counts:
        """Singles of all inputs over one window of 1 ms to 65.535 s; not valid when an input reports an
        error. Windows shorter than 20 ms begin up to 20 ms later: the instrument shows the last whole one.
        """
        counted = await self._count([f"INPU{channel}" for channel in CHANNELS], window_s)
        valid = await self._inputs_are_well()
        singles: dict[int, int] = dict(zip(CHANNELS, counted, strict=True))
        return Counts(window_s, singles, valid, time.monotonic_ns())

    async def set_window_ns(self, window_ns: float) -> None:
        """Wire the coincidence counters with a full window of `window_ns`; partners lie within half of it.

        Inputs keep their levels, edges and delays: what the preset may change is written back.
        """
        self._in_range("window", window_ns, WINDOW_NS, "ns")
        self._require_combiners("coincidence counters")
        window_ps = round(1000 * window_ns)
        kept = [
            f"INPU{channel}:THRE {await self._ask_number(f'INPU{channel}:THRE?', 'V'):.4f}V;"
            f"EDGE {await self.read_edge(channel)};"
            f"ENAB {'ON' if await self.read_enabled(channel) else 'OFF'}"
            for channel in CHANNELS
        ]
        delays_ps = {channel: await self.read_delay_ps(channel) for channel in CHANNELS}
        await self.order("DEVI:CONFI:LOAD COUNT")
        for command in kept:
            await self.order(command)
        for channel, delay_ps in delays_ps.items():
            await self.order(f"DELA{channel}:LINK INPU{channel};VALU {delay_ps}")
            if channel > 1:
                await self._set_second_delay(channel, delay_ps, window_ps)
        for gate in GATES.values():
            begin_ps, end_ps = round(gate.begin * window_ps), round(gate.end * window_ps)
            await self.order(
                f"TSCO{gate.combiner}:WIND:BEGI:DELA {begin_ps};:TSCO{gate.combiner}:WIND:END:DELA {end_ps}"
            )
        self._close_to("window in ns", window_ns, await self.read_window_ns(), 0.001)

    async def read_window_ns(self) -> float:
        """The full coincidence window in ns, as the gate of inputs 1 and 2 has it."""
        begin, end = await self.ask("TSCO6:WIND:BEGI:DELA?", "TSCO6:WIND:END:DELA?")
        return (self._picoseconds(end) - self._picoseconds(begin)) / 1000

    async def count_coincidences(self, window_s: float) -> Mapping[tuple[int, ...], int]:
        """Coincidences of all eleven patterns of two to four inputs over one window.

        Raises DeviceError when the counters are not wired: set the coincidence window first.
        """
        self._require_combiners("coincidence counters")
        if await self._gates_window_ps() is None:
            raise DeviceError(self.name, "the coincidence counters are not wired: set coincidence_window_ns")
        counted = await self._count([f"TSCO{gate.combiner}" for gate in GATES.values()], window_s)
        return dict(zip(GATES, counted, strict=True))

    async def _count(self, blocks: Sequence[str], window_s: float) -> list[int]:
        window_ms = round(1000 * window_s)
        self._in_range("window", window_ms, INTEGRATION_MS, "ms")
        async with self._counting:
            await self.order(";:".join(f"{block}:COUN:MODE CYCL;INTE {window_ms}" for block in blocks))
            told = await self.ask(*(f"{block}:COUN:INTE?" for block in blocks))
            for block, reply in zip(blocks, told, strict=True):
                self._same(f"integration time of {block} in ms", window_ms, self._integer(reply, "TB"))
            await self.order(";:".join(f"{block}:COUN:RESE" for block in blocks))
            # The counter shows a window once it is over, by the clock of the instrument.
            await asyncio.sleep(window_ms / 1000 + LATCH_S)
            return [self._integer(reply) for reply in await self.ask(*(f"{b}:COUN?" for b in blocks))]

    async def _inputs_are_well(self) -> bool:
        try:
            if await self.read_resolution() != "HIRES":
                return True
            replies = await self.ask(*(f"INPU{channel}:HIRES:ERROR?" for channel in CHANNELS))
        except DeviceError:
            return True  # a licence without HIRES knows no such error
        return not any(self._integer(reply) for reply in replies)

    async def _gates_window_ps(self) -> int | None:
        """The full window when the coincidence counters are wired, else None."""
        block = f"TSCO{GATES[1, 2].combiner}"
        on, begin, end = await self.ask(
            f"{block}:WIND:ENAB?", f"{block}:WIND:BEGI:DELA?", f"{block}:WIND:END:DELA?"
        )
        window_ps = self._picoseconds(end) - self._picoseconds(begin)
        return window_ps if on.upper() == "ON" and window_ps > 0 else None

    async def _delay_was_set(self, channel: int, delay_ps: int) -> None:
        window_ps = await self._gates_window_ps()
        if window_ps is not None and channel > 1:
            await self._set_second_delay(channel, delay_ps, window_ps)

    async def _set_second_delay(self, channel: int, delay_ps: int, window_ps: int) -> None:
        block = f"DELA{second_delay(channel)}"
        wanted_ps = delay_ps + (channel - 1) * window_ps
        await self.order(f"{block}:LINK INPU{channel};VALU {wanted_ps}")
        self._same(f"{block} in ps", wanted_ps, await self._ask_picoseconds(f"{block}:VALU?"))

    # -- histograms -----------------------------------------------------------------------------------------

    async def measure_histogram(
        self,
        reference: int,
        stop: int,
        *,
        bin_width_ps: int,
        bins: int,
        duration_s: float,
        minimum_ps: int = 0,
    ) -> NDArray[np.int64]:
        """Times from the last event of input `reference` to events of input `stop`, shape (bins,).

        The same input twice gives the times between its own events. Bins: at most 16383, their width a
        multiple of the resolution. Uses the combiners: the coincidence counters must be wired anew after.
        """
        import numpy as np

        self._check_channel(reference)
        self._check_channel(stop)
        self._in_range("number of bins", bins, (1, BINS_MAX), "")
        self._require_combiners("histograms")
        resolution_ps = await self.read_bin_width_ps()
        if bin_width_ps <= 0 or bin_width_ps % resolution_ps:
            raise LocalMisuse(f"bins of {bin_width_ps} ps: a multiple of {resolution_ps} ps is possible")
        for channel in {reference, stop}:
            for command in pass_through_orders(channel):
                await self.order(command)
        links = f"HIST1:REF:LINK TSCO{pass_through(reference)};:HIST1:STOP:LINK TSCO{pass_through(stop)}"
        await self.order(links)
        await self.order(f"HIST1:MIN {minimum_ps};BWID {bin_width_ps};BCOU {bins}")
        found = await self.ask("HIST1:MIN?", "HIST1:BWID?", "HIST1:BCOU?")
        wanted = (minimum_ps, bin_width_ps, bins)
        read = (self._picoseconds(found[0]), self._picoseconds(found[1]), self._integer(found[2]))
        self._same("histogram", wanted, read)
        await self.order("HIST1:FLUS")
        await self.record(duration_s)
        (reply,) = await self.ask("HIST1:DATA?")
        try:
            return np.array(bins_of(reply), np.int64)
        except ValueError as error:
            raise self._broken(f"HIST1:DATA? answered {error}") from None

    async def record(self, duration_s: float) -> None:
        """Run one acquisition to its end. Raises DeviceError when it does not end."""
        self._require_combiners("recordings")
        await self.order("REC:TRIG:ARM:MODE MANU")
        await self.order("REC:ENAB ON")
        await self.order("REC:STOP")
        await self.order(f"REC:NUM 1;DUR {round(1e12 * duration_s)}")
        await self.order("REC:PLAY")
        clock = asyncio.get_running_loop().time
        latest_s = clock() + duration_s + RECORD_MARGIN_S
        await asyncio.sleep(duration_s)
        while await self._ask_word("REC:STAG?") == "PLAYING":
            if clock() > latest_s:
                raise DeviceError(self.name, f"a recording of {duration_s:g} s does not end")
            await asyncio.sleep(RECORD_POLL_S)

    # -- tags -----------------------------------------------------------------------------------------------

    def _new_run(self, queue: TagQueue, epoch: int) -> TagStream:
        where = controller_place(self.address, instrument=self.name)
        settings, session_settings = self.stream_settings, self._settings_of_session
        return TagStream(self.name, where, self, settings, session_settings, queue.put, epoch)

    def _stream_limits(self) -> StreamLimits:
        return self.stream_settings.limits

    def _check_streamable(self) -> None:
        if controller_place(self.address, instrument=self.name).data_link is None:
            wanted = f"add ,HOST:{DATA_LINK_PORT} to its address"
            raise DeviceError(self.name, f"tags need a DataLinkTarget: {wanted}")

    def _require_combiners(self, what: str) -> None:
        if self._streaming is not None:
            raise LocalMisuse(
                f"{what} of {self.name}: its combiners carry the tags; end the stream, or count tags"
                " (tag_counting.py)"
            )


class Id1000(Id900):
    """An ID1000: spoken to as an ID900."""

    model = "ID1000"
