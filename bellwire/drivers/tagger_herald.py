"""Heralds from the clicks of a time tagger: the analyser of a station that has no heralding FPGA.

Owns the way from blocks of tags to records, losses and bounds of a run, with the seconds of a PPS on one
input. Offers what HeraldFpga offers to a station. Refuses to decide what it cannot know: a missing PPS, a
lost interval, a restarted tagger make attempts UNKNOWN, never fail. Turns no knob of the tagger, which is
equipment of its own, and has no herald pins.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.device_clock import SECOND_NS
from bellwire.drivers.faults import DeviceError, Disconnected, LinkTimeout
from bellwire.drivers.herald_counters import HeraldCounters
from bellwire.drivers.herald_fpga import HeraldRecord
from bellwire.drivers.herald_matching import (
    PS_PER_NS,
    HeraldMatcher,
    Matches,
    MatchSettings,
    WindowRates,
    match_settings,
)
from bellwire.drivers.herald_settings import CHANNELS, HeraldSettings
from bellwire.drivers.instrument import Backoff, Condition, Identity, Instrument, InstrumentState
from bellwire.drivers.pps_clock import SECOND_PS, PpsClock
from bellwire.drivers.roles import TimeTagger
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PPS_S = 5.0
"""Without a believable PPS for so long, the analyser is not ready."""
SILENCE_S = 5.0
"""A tagger without a block for so long is taken for lost."""
EDGES_MAX = 100
"""More edges in one block do not come from a PPS."""
STEP_PS = 1_000_000
"""At a PPS edge the scale of time may jump by up to this: the rate of the tagger was another than before."""
TAGS_AT_ONCE = 20_000
"""Larger blocks are matched in a thread, so that the loop goes on."""


@runtime_checkable
class StreamingTagger(TimeTagger, Protocol):
    """A tagger as a driver: its state besides its role."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> InstrumentState: ...

    @property
    def identity(self) -> Identity | None: ...

    def tags(self) -> AsyncGenerator[TagBlock, None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggerInputs:
    """How a station is wired to its tagger. `pps_channel`: a channel of the tagger. `channels`: the channel
    behind each input of the analyser (0 .. 3, as herald_settings.PATTERNS counts them). `delays_ps`: by
    input, how much later its clicks are tagged than the light came; inputs left out have none.
    """

    pps_channel: int
    channels: Mapping[int, int]
    delays_ps: Mapping[int, int]

    def check(self, settings: HeraldSettings) -> None:
        """Raises ConfigError when the wiring does not serve the settings."""
        wired = {channel for channel, on in enumerate(settings.enabled) if on}
        if set(self.channels) != wired:
            raise ConfigError(f"inputs {sorted(self.channels)} are wired, the link needs {sorted(wired)}")
        used = [self.pps_channel, *self.channels.values()]
        if len(set(used)) != len(used):
            raise ConfigError(f"channels {used} of the tagger: one carries two signals")


class TaggerHerald(Instrument):
    """Analyser on the tags of `tagger`, which somebody else keeps connected.

    Callbacks as those of HeraldFpga, in the loop, for any sub-attempt in this order: `on_record`, `on_lost`,
    `on_bound`; here a lost attempt has no record. `on_reset` is never called: a tagger holds nothing of a
    run. `clock`: unix ns of the host.
    """

    model = "tagger_herald"

    def __init__(
        self,
        name: str,
        tagger: StreamingTagger,
        inputs: TaggerInputs,
        *,
        serial_number: str | None = None,
        backoff: Backoff | None = None,
        on_state: Callable[[InstrumentState], None] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__(name, serial_number=serial_number, backoff=backoff, on_state=on_state)
        self.on_record: Callable[[HeraldRecord], None] = lambda record: None
        self.on_bound: Callable[[int, int], None] = lambda run_short, decided_to: None
        self.on_lost: Callable[[int, int, int, int], None] = lambda run_short, first, last, count: None
        self.on_reset: Callable[[], None] = lambda: None
        self.counters = HeraldCounters()
        self.pps = PpsClock()
        self._tagger = tagger
        self._inputs = inputs
        self._clock = clock
        self._settings: MatchSettings | None = None
        self._rates: WindowRates | None = None
        self._run: tuple[int, int, HeraldMatcher] | None = None  # short name, epoch second
        self._reading: asyncio.Task[None] | None = None
        self._labelled = asyncio.Event()
        self._epoch: int | None = None
        self._unlabelled_ps = 0
        self._heard_ns: int | None = None

    # -- configuration and runs -----------------------------------------------------------------------------

    async def configure(self, settings: HeraldSettings) -> None:
        """Remember windows, table, period and lanes, for the next run. Raises ConfigError."""
        self._inputs.check(settings)
        delays_ps = [self._inputs.delays_ps.get(channel, 0) for channel in range(CHANNELS)]
        self._settings = match_settings(settings, delays_ps)
        self._rates = None

    @property
    def rates(self) -> WindowRates | None:
        """Clicks in and beside the windows, by input of the analyser; None before the first run."""
        return self._rates

    async def start_run(self, run_short: int, epoch_s: int) -> None:
        """Begin a run: attempt 0 starts at unix second `epoch_s` + start delay. Ends the run before, if any.

        Raises LocalMisuse without configuration, DeviceError when `epoch_s` is past or no PPS is there.
        """
        if self._settings is None:
            raise LocalMisuse(f"{self.name}: configure before start_run")
        self._require_ready()
        if self.pps.second is None:
            raise DeviceError(
                self.name, f"no PPS on channel {self._inputs.pps_channel}: nothing can be dated"
            )
        if epoch_s * SECOND_NS <= self._clock():
            raise DeviceError(self.name, f"second {epoch_s} is past; start a run in a later one")
        matcher = HeraldMatcher(self._settings, self._rates)
        self._rates = matcher.rates
        self.counters = HeraldCounters()
        self._run = (run_short, epoch_s, matcher)

    async def stop(self) -> None:
        """End the run; attempts beyond its last bound stay undecided."""
        self._run = None

    async def safe_state(self) -> None:
        """No run active; there is nothing else to make safe."""
        await self.stop()

    # -- life -----------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        state = self._tagger.state
        if state.condition is not Condition.READY:
            raise Disconnected(
                self.name, f"its tagger {self._tagger.name} is {state.condition}: {state.reason}"
            )
        missing = {self._inputs.pps_channel, *self._inputs.channels.values()} - set(self._tagger.channels)
        if missing:
            raise ConfigError(
                f"{self._tagger.name} has the channels {list(self._tagger.channels)}, not {sorted(missing)}",
                where=self.name,
            )
        self.pps.restart()
        self._labelled.clear()
        self._epoch = None
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _identify(self) -> Identity:
        identity = self._tagger.identity
        if identity is None:
            raise Disconnected(self.name, f"its tagger {self._tagger.name} was never seen")
        return Identity(self.model, identity.serial_number, f"{identity.model} {identity.firmware}")

    async def _apply(self) -> None:
        """Wait for a PPS that can be labelled, so that READY means what it says."""
        assert self._reading is not None
        waiting = asyncio.get_running_loop().create_task(self._labelled.wait())
        try:
            await asyncio.wait({waiting, self._reading}, timeout=PPS_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._reading.done():
            await self._reading
        if not self._labelled.is_set():
            raise self._no_pps()

    async def _watch(self) -> None:
        assert self._reading is not None
        await asyncio.wait({self._reading})
        await self._reading
        raise Disconnected(self.name, f"{self._tagger.name} has ended its stream")

    async def _shut(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _is_open(self) -> bool:
        return self._reading is not None and not self._reading.done()

    def _heard_at_ns(self) -> int | None:
        return self._heard_ns

    def _no_pps(self) -> DeviceError:
        return DeviceError(
            self.name,
            f"no believable PPS on channel {self._inputs.pps_channel} within {PPS_S:g} s "
            f"({self.pps.edges_strange} strange edges, {self.pps.labels_refused} labels refused); check its "
            "cable and trigger level, and the clock of this computer",
        )

    # -- tags -----------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        blocks = self._tagger.tags()
        try:
            while True:
                try:
                    async with asyncio.timeout(SILENCE_S):
                        block = await anext(blocks)
                except TimeoutError:
                    raise LinkTimeout(self.name, f"no tags within {SILENCE_S:g} s") from None
                except StopAsyncIteration:
                    return
                self._heard_ns = time.monotonic_ns()
                await self._take(block)
        finally:
            await blocks.aclose()

    async def _take(self, block: TagBlock) -> None:
        now_ns = self._clock()
        if block.epoch != self._epoch:
            self._epoch = block.epoch
            self._unlabelled_ps = block.start_ps
            self.pps.restart()
        edges: list[int] = block.time_ps[block.channel == self._inputs.pps_channel].tolist()
        if len(edges) > EDGES_MAX:
            raise DeviceError(
                self.name, f"{len(edges)} edges in a block on channel {self._inputs.pps_channel}: no PPS"
            )
        begin_ps = block.start_ps
        for edge_ps in edges:
            await self._match(block, begin_ps, edge_ps)
            self.pps.take(edge_ps, now_ns - (block.stop_ps - edge_ps) // PS_PER_NS)
            begin_ps = edge_ps
        await self._match(block, begin_ps, block.stop_ps)
        second = self.pps.second
        if second is not None:
            self._labelled.set()
            self._unlabelled_ps = max(self._unlabelled_ps, second.at_ps)
        if block.stop_ps - self._unlabelled_ps > PPS_S * SECOND_PS:
            raise self._no_pps()

    async def _match(self, block: TagBlock, begin_ps: int, end_ps: int) -> None:
        """Hand one stretch without an edge of the PPS to the matcher, as far as its seconds are known."""
        second, run = self.pps.second, self._run
        if second is None or run is None:
            return
        end_ps = min(end_ps, second.until_ps)
        if begin_ps >= end_ps:
            return
        _, epoch_s, matcher = run
        start_ps, stop_ps = second.since_ps(begin_ps, epoch_s), second.since_ps(end_ps, epoch_s)
        known_to_ps = matcher.known_to_ps
        if known_to_ps is not None and abs(start_ps - known_to_ps) <= STEP_PS:
            start_ps = known_to_ps  # the scale has jumped, nothing is missing
        times_ps, inputs = self._clicks(block, begin_ps, end_ps)
        times_ps = second.all_since_ps(times_ps, epoch_s)
        lost = [
            (second.since_ps(max(since, begin_ps), epoch_s), second.since_ps(min(until, end_ps), epoch_s))
            for since, until in block.lost
            if since < end_ps and until > begin_ps
        ]
        arguments = (start_ps, max(start_ps, stop_ps), times_ps, inputs, lost)
        if len(times_ps) > TAGS_AT_ONCE:
            found = await asyncio.to_thread(matcher.take, *arguments)
        else:
            found = matcher.take(*arguments)
        if self._run is run:  # else another run has begun meanwhile
            self._tell(run, found)

    def _clicks(
        self, block: TagBlock, begin_ps: int, end_ps: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Clicks of the analyser's inputs in [begin, end) of the tagger's time."""
        import numpy as np

        low, high = np.searchsorted(block.time_ps, [begin_ps, end_ps])
        times_ps, channels = block.time_ps[low:high], block.channel[low:high]
        inputs = np.full(len(times_ps), -1, np.int8)
        for number, channel in self._inputs.channels.items():
            inputs[channels == channel] = number
        return times_ps[inputs >= 0], inputs[inputs >= 0]

    def _tell(self, run: tuple[int, int, HeraldMatcher], found: Matches) -> None:
        run_short, epoch_s, matcher = run
        settings = matcher.settings
        for herald in found.heralds:
            self.counters.record(herald.attempt)
            edge_ps = settings.first_ps + herald.attempt * settings.period_ps
            stamp_ns = epoch_s * SECOND_NS + edge_ps // PS_PER_NS
            self.on_record(
                HeraldRecord(run_short, herald.attempt, herald.outcome, 0, stamp_ns, herald.confidence)
            )
        for first, last in found.lost:
            self.counters.lost(first, last)
            self.on_lost(run_short, first, last, last - first + 1)
        if found.decided_to >= self.counters.decided:
            self.counters.bound(found.decided_to)
            self.on_bound(run_short, found.decided_to)
