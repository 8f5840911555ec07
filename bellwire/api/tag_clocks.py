"""The clock of one tagger against another, for scripts: found by the pairs that both have seen.

Owns `find_clock` and its answer. Refuses the search itself (bellwire.drivers.clocks), and a clock that the
tags do not determine: NoTiming says what is missing. Needs the extra `study`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bellwire.api.asynchronous_device import as_typed
from bellwire.api.extras import study_extra
from bellwire.api.tag_work import blocks_of
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bellwire.api.tag_work import Tags
    from bellwire.drivers.clocks.clock_offset import ClockOffset
    from bellwire.drivers.time_tags import TagBlock

PS_PER_S: Final = 10**12
PPM_E15: Final = 10**9


@dataclass(frozen=True, slots=True)
class FoundClock:
    """The clock of one tagger against another. `clock`: to be added to its times; `jitter_ps`: of one pair,
    joint standard deviation. `significance` of the peak where `threshold` was asked for.
    """

    clock: ClockOffset
    jitter_ps: int
    pairs: int
    significance: float
    threshold: float

    def on_reference(self, block: TagBlock) -> TagBlock:
        """The tags of a block in the time of the reference.

        >>> moved = found.on_reference(bob)  # doctest: +SKIP
        """
        with as_typed():
            clock = self.clock
            return replace(
                block,
                epoch=clock.reference_epoch,
                start_ps=clock.to_reference(block.start_ps, block.epoch),
                stop_ps=clock.to_reference(block.stop_ps, block.epoch),
                time_ps=clock.all_to_reference(block.time_ps, block.epoch),
                lost=tuple(
                    (clock.to_reference(begin, block.epoch), clock.to_reference(end, block.epoch))
                    for begin, end in block.lost
                ),
            )

    def __repr__(self) -> str:
        clock = self.clock
        return (
            f"add {clock.offset_ps} ± {clock.sigma_ps} ps at {clock.at_ps} ps, rate "
            f"{clock.rate_e15 / 1e6:.4f} ± {clock.sigma_rate_e15 / 1e6:.4f} in 10^9, "
            f"jitter {self.jitter_ps} ps; {self.pairs} pairs, "
            f"{self.significance:.1f} sigma where {self.threshold:.1f} are asked for"
        )


def find_clock(
    reference: Tags,
    tags: Tags,
    *,
    oscillator: str,
    reference_channels: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    within_s: float = 1e-3,
    expected_ps: int = 0,
    ppm: float = 0.1,
    pairs_hz: float | None = None,
    length_s: float = 5.0,
) -> FoundClock:
    """Offset and rate of the clock of `tags` against that of `reference`, as of `bellwire tags clock`.

    `oscillator`: of both, "locked", "rubidium", "oven" or "quartz". The offset is looked for within
    `within_s` of `expected_ps`, the rate within `ppm`; `pairs_hz`: the least rate of pairs to be found, None:
    1 % of the fewer tags. `length_s`: how much of the beginning is used. Raises ConfigError, NoTiming.

    >>> find_clock("here.parquet", "there.parquet", oscillator="rubidium").clock.offset_ps  # doctest: +SKIP
    -321002500
    """
    with study_extra():
        from bellwire.drivers.clocks.between import Record, clock_between
        from bellwire.drivers.clocks.clock_kinds import ClockKind
    kinds = [kind.value for kind in ClockKind]
    if oscillator not in kinds:
        raise ConfigError(f'"{oscillator}" is no kind of oscillator{nearest(oscillator, kinds)}')
    within_ps = round(within_s * PS_PER_S)
    epoch, stream = _beginning(tags, channels, None, round(length_s * PS_PER_S))
    window = (int(stream[0]) + expected_ps - within_ps, int(stream[-1]) + expected_ps + within_ps)
    reference_epoch, facing = _beginning(reference, reference_channels, window, window[1] - window[0])
    with as_typed():
        coarse, refined = clock_between(
            Record(reference_epoch, facing),
            Record(epoch, stream),
            oscillator=ClockKind(oscillator),
            within_ps=within_ps,
            rate_within_e15=round(ppm * PPM_E15),
            expected_ps=expected_ps,
            pairs_hz=pairs_hz,
        )
    return FoundClock(refined.clock, refined.jitter_ps, refined.pairs, coarse.significance, coarse.threshold)


def _beginning(
    tags: Tags, channels: Sequence[int] | None, window: tuple[int, int] | None, length_ps: int
) -> tuple[int, NDArray[np.int64]]:
    """The first epoch and its times, in a window or from the first tag on. Raises ConfigError for none."""
    import numpy as np

    parts: list[NDArray[np.int64]] = []
    epoch: int | None = None
    for block in blocks_of(tags):
        times = block.time_ps if channels is None else block.time_ps[np.isin(block.channel, channels)]
        epoch = block.epoch if epoch is None else epoch
        if block.epoch != epoch or (window is not None and block.start_ps > window[1]):
            break
        if window is None and len(times):
            window = (int(times[0]), int(times[0]) + length_ps)
        if window is not None:
            low, high = np.searchsorted(times, window)
            parts.append(times[low:high])
    found = np.concatenate(parts) if parts else np.empty(0, np.int64)
    if len(found) < 2:
        place = "" if window is None else f" from {window[0]} to {window[1]} ps"
        raise ConfigError(f"{len(found)} tags of these channels{place}: look at channels and expected_ps")
    return epoch or 0, found
