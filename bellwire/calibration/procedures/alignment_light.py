"""Bright light for alignment: a pair source at the splitter, reference lasers at the nodes.

Owns which ways and lasers bring it in, and that the light of the nodes is out of its way meanwhile. Every
knob goes through `Work`, so that the station is back on the memories' light at the end. Refuses counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bellwire.calibration.bench import (
    Alignment,
    AlignmentSource,
    Knob,
    LinkBench,
    References,
    Standard,
    StationPlate,
)
from bellwire.calibration.procedure import unique
from bellwire.calibration.procedures import light
from bellwire.calibration.work import Work

Polarisation = Literal["h", "d"]


def cannot_meet(bench: LinkBench) -> str | None:
    """Why photons of an alignment source cannot be brought to meet on this link, or None."""
    if (why := does_not_meet(bench)) is not None:
        return why
    source = source_of(bench)
    if source is None:
        return "no source of alignment light is named"
    shut = [arm.node for arm in bench.arms if arm.shutter is None]
    if shut and source.routes:
        return f"the arm of {shut[0]} has no shutter, whose way the alignment light would take"
    return None


def does_not_meet(bench: LinkBench) -> str | None:
    """Why there is no Bell-state analyser, or None."""
    if bench.kind != "meeting":
        return "photons of a distribution link do not meet"
    has = len(bench.receivers)
    return None if has == 1 else f"photons meet at one receiver, this link has {has or 'none'}"


# -- the pair source ----------------------------------------------------------------------------------------


def source_of(bench: LinkBench) -> AlignmentSource | None:
    """The pair source for alignment; None: the link has none."""
    return _alignment(bench).source


def source_instruments(bench: LinkBench) -> tuple[str, ...]:
    """What `bring_source` moves."""
    source = source_of(bench)
    if source is None:
        return ()
    return unique(
        *light.instruments_of(bench),
        *(route.knob.instrument for route in source.routes),
        source.pump.value.instrument,
        *(knob.instrument for knob in source.pump.emission),
    )


async def bring_source(work: Work) -> None:
    """The photons of the alignment source meet at the splitter; those of the nodes are kept away."""
    source = source_of(work.bench)
    assert source is not None
    await _free_station(work)
    for route in source.routes:
        await work.set(route.knob, route.open_value)
    await work.set(source.pump.value, source.power)
    await work.emit(source.pump, True)


async def light_one(work: Work, lit: int) -> None:
    """Only one of the ways of the alignment source is open, so that one arm of the analyser has light."""
    source = source_of(work.bench)
    assert source is not None
    for index, route in enumerate(source.routes):
        if index != lit:
            await work.set(route.knob, 0)
    await work.set(source.routes[lit].knob, source.routes[lit].open_value)


async def hide_source(work: Work) -> None:
    """No light of the alignment source; its ways are free for the nodes again."""
    source = source_of(work.bench)
    assert source is not None
    await _free_station(work)
    await work.emit(source.pump, False)
    for route in reversed(source.routes):
        await work.set(route.knob, 0)


# -- the reference lasers -----------------------------------------------------------------------------------


def plate_of(bench: LinkBench) -> StationPlate | None:
    """The half-wave plate of the station; None: it has none."""
    return _alignment(bench).plate


def reference_instruments(bench: LinkBench) -> tuple[str, ...]:
    """What `refer` moves."""
    lasers = _alignment(bench).references.values()
    return unique(*(one.knob.instrument for refs in lasers for one in (refs.h, refs.d)))


def references_of(bench: LinkBench, node: str) -> References | None:
    """The reference lasers of a node; None: it has none."""
    return None if bench.alignment is None else bench.alignment.references.get(node)


async def refer(work: Work, node: str, polarisation: Polarisation | None) -> None:
    """Let one reference laser of a node into its arm, or none: both leave the switch by one port."""
    references = references_of(work.bench, node)
    assert references is not None
    ways = {"h": references.h, "d": references.d}
    await _freed(work, [way.knob for way in ways.values()])
    for name, way in ways.items():
        if name != polarisation:
            await work.set(way.knob, 0)
    if polarisation is not None:
        await work.set(ways[polarisation].knob, ways[polarisation].open_value)


# -- light for detectors, whatever its kind -----------------------------------------------------------------


def steady_instruments(bench: LinkBench) -> tuple[str, ...]:
    """What `steady` and `dark` move."""
    return unique(
        *light.instruments_of(bench),
        *reference_instruments(bench),
        *source_instruments(bench),
    )


async def steady(work: Work, turn: int = 0) -> None:
    """Light without pulses at every detector: reference lasers where there are any, else the link's own.

    H from the first node, D from the next, and so on, so that no polarisation is left out whatever fibres do;
    `turn` 1: the other way round.
    """
    if source_of(work.bench) is not None:
        await hide_source(work)
    await light.lighten(work)
    letters: tuple[Polarisation, Polarisation] = ("h", "d")
    for index, node in enumerate(_alignment(work.bench).references):
        await refer(work, node, letters[(index + turn) % 2])


async def dark(work: Work) -> None:
    """No light at all."""
    if source_of(work.bench) is not None:
        await hide_source(work)
    for node in _alignment(work.bench).references:
        await refer(work, node, None)
    await light.darken(work)


# -- light of measured power --------------------------------------------------------------------------------


def standard_of(bench: LinkBench) -> Standard | None:
    """Light of measured power; None: the link has none."""
    return _alignment(bench).standard


def standard_instruments(bench: LinkBench) -> tuple[str, ...]:
    """What `bring_standard` moves, and the meter."""
    standard, plate = standard_of(bench), plate_of(bench)
    if standard is None:
        return ()
    return unique(
        *light.instruments_of(bench),
        *source_instruments(bench),
        *(route.knob.instrument for route in standard.routes),
        None if plate is None else plate.knob.instrument,
        standard.power.instrument,
    )


async def bring_standard(work: Work, lit: int) -> None:
    """The light of measured power, and no other, enters one input of the splitter; H and V are not turned."""
    standard, plate = standard_of(work.bench), plate_of(work.bench)
    assert standard is not None
    if source_of(work.bench) is not None:
        await _free_station(work)
    await light.open_only(work, ())
    if plate is not None:
        await work.set(plate.knob, 0.0)
    for index, route in enumerate(standard.routes):
        if index != lit:
            await work.set(route.knob, 0)
    await work.set(standard.routes[lit].knob, standard.routes[lit].open_value)


# -- ways that share a port ---------------------------------------------------------------------------------


async def _free_station(work: Work) -> None:
    """The egresses of the station's switch are free: arms and alignment light share them."""
    source = source_of(work.bench)
    knobs = [arm.shutter.knob for arm in work.bench.arms if arm.shutter is not None]
    await _freed(work, knobs + ([] if source is None else [route.knob for route in source.routes]))


async def _freed(work: Work, ways: Sequence[Knob]) -> None:
    """Let go of every way, once, those first that are open: they are the last to be opened again, when the
    others have let go of the ports that they share.
    """
    fresh = [knob for knob in ways if knob not in work.before]
    found = {knob: await work.read(knob) for knob in fresh}
    for knob in sorted(fresh, key=lambda one: not found[one]):
        await work.set(knob, 0)


def _alignment(bench: LinkBench) -> Alignment:
    return Alignment() if bench.alignment is None else bench.alignment
