"""What is known of the tags of a file besides the tags: resolution, channels, clock, instrument, coverage.

Owns the record and the settings with which files are read and written. Refuses to know any format.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

Interval = tuple[int, int]
"""[from, to) in ps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelNote:
    """What hangs at one input. `dead_time_ps`: of the detector; `delay_ps`: set in the instrument, and
    already part of the tags.
    """

    number: int
    label: str | None = None
    detector: str | None = None
    delay_ps: int | None = None
    threshold_v: float | None = None
    dead_time_ps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch [`start_ps`, `stop_ps`) of one epoch that a file covers, with `tags` of them.

    `lost`: intervals in it in which tags may be missing, in order.
    """

    epoch: int
    start_ps: int
    stop_ps: int
    tags: int
    lost: tuple[Interval, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A file as it describes itself. None: the file does not say.

    `resolution_ps`: of the instrument, so that times are multiples of it, rounded to ps. `pps_utc`: when a
    pulse per second was tagged (ps) and which second of UTC it began. `spans`: None where only the tags tell
    what is covered. `notes`: what the reader had to assume, one sentence each.
    """

    format: str
    resolution_ps: Fraction = Fraction(1)
    device: str | None = None
    serial_number: str | None = None
    firmware: str | None = None
    clock_source: str | None = None
    clock_locked: bool | None = None
    pps_utc: tuple[tuple[int, str], ...] = ()
    software: str | None = None
    software_version: str | None = None
    software_commit: str | None = None
    created_at: str | None = None
    comment: str | None = None
    channels: tuple[ChannelNote, ...] = ()
    spans: tuple[Span, ...] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSettings:
    """What a file cannot tell of itself. None: what its sidecar says, else the custom of its format.

    `channel`: of all tags, where the format has no channels. `reference_period_ps`: of the pulses against
    which tags were taken. `resolution_ps`: of one unit of time. `salvage`: hand over what stands before
    damage instead of refusing the file.
    """

    channel: int | None = None
    reference_period_ps: int | None = None
    resolution_ps: Fraction | None = None
    salvage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSettings:
    """How a file is written. `resolution_ps`: unit of time of formats that have one; None: that of the
    tags. `reference_period_ps`: for tags against a reference. `original`: the file that the tags come from.
    """

    resolution_ps: Fraction | None = None
    reference_period_ps: int | None = None
    original: Path | None = None
