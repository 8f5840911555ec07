"""Stations whose heralds come from a tagger: every mistake of their keys as a line of the file.

Owns these problems. Refuses the equipment itself (equipment_checks.py).
"""

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest
from bellwire.core.units import NS_PER_US
from bellwire.labs.architectures import attempt_times
from bellwire.labs.document import KeyPath
from bellwire.labs.herald_inputs import TAGGER_HERALD, herald_inputs, tagger_of
from bellwire.labs.light import given
from bellwire.labs.models import HeraldInstrument, LabFile, Link, Station
from bellwire.labs.problems import ProblemList

TAGGER_KEYS = frozenset({"pps_channel", "detector_channels", "detector_delays_ns", "window_ns"})


def check_heralds(lab: LabFile, problems: ProblemList) -> None:
    """Add every problem of the stations' heralds."""
    links = {link.station: link for link in lab.links.values() if link.station is not None}
    for name, station in lab.stations.items():
        herald = station.instruments.herald
        if herald is None:
            continue
        place: KeyPath = ("stations", name, "instruments", "herald")
        if herald.driver != TAGGER_HERALD:
            for key in given(herald, TAGGER_KEYS):
                problems.add((*place, key), f"{key} goes with driver: {TAGGER_HERALD}, and only there")
        elif name in links:
            _check_station(place, lab, station, herald, links[name], problems)


def _check_station(
    place: KeyPath,
    lab: LabFile,
    station: Station,
    herald: HeraldInstrument,
    link: Link,
    problems: ProblemList,
) -> None:
    before = len(problems)
    _check_tagger(place, station, herald, problems)
    _check_channels(place, herald, link, problems)
    if len(problems) == before and link.attempt_period_us is not None:
        _check_window(place, herald, link, lab, problems)


def _check_tagger(place: KeyPath, station: Station, herald: HeraldInstrument, problems: ProblemList) -> None:
    from bellwire.drivers import cards

    tagger = tagger_of(herald.address)
    if tagger is None:
        problems.add((*place, "address"), f'must be equipment:NAME of the tagger, is "{herald.address}"')
        return
    if tagger not in station.equipment:
        problems.add(
            (*place, "address"),
            f'no equipment of the station is called "{tagger}"{nearest(tagger, station.equipment)}',
        )
        return
    equipment = station.equipment[tagger]
    card = cards().get(equipment.driver)
    if card is not None and "time_tagger" not in card.roles:
        problems.add((*place, "address"), f"{card.name} plays {', '.join(card.roles)}, not time_tagger")
    if herald.emulated and not equipment.emulated:
        problems.add((*place, "emulated"), f"its tagger {tagger} is real, and so is what it sees")


def _check_channels(place: KeyPath, herald: HeraldInstrument, link: Link, problems: ProblemList) -> None:
    from bellwire.drivers.herald_settings import INPUT_NAMES

    if herald.pps_channel is None:
        problems.add((*place, "pps_channel"), "give the channel of the tagger that has the PPS")
    names = INPUT_NAMES.get(link.architecture)
    if names is None:
        problems.add((*place, "driver"), f"a {link.architecture} link has no detectors to be tagged")
        return
    for name in dict.fromkeys((*herald.detector_channels, *herald.detector_delays_ns)):
        if name not in names:
            key = "detector_channels" if name in herald.detector_channels else "detector_delays_ns"
            problems.add(
                (*place, key, name), f'{link.architecture} has no detector "{name}"{nearest(name, names)}'
            )
    missing = [name for name in names if name not in herald.detector_channels]
    if missing:
        problems.add((*place, "detector_channels"), f"{link.architecture} needs also {', '.join(missing)}")
    owners: dict[int, str] = {} if herald.pps_channel is None else {herald.pps_channel: "the PPS"}
    for name, channel in herald.detector_channels.items():
        if channel in owners:
            problems.add((*place, "detector_channels", name), f"channel {channel} carries {owners[channel]}")
        owners.setdefault(channel, name)


def _check_window(
    place: KeyPath, herald: HeraldInstrument, link: Link, lab: LabFile, problems: ProblemList
) -> None:
    from bellwire.drivers.herald_matching import match_settings
    from bellwire.drivers.herald_settings import CHANNELS, WINDOW_NS, settings_for_travel

    assert link.attempt_period_us is not None
    inputs = herald_inputs(herald, link, lab)
    assert inputs is not None
    try:
        settings = settings_for_travel(
            round(link.attempt_period_us * NS_PER_US),
            link.lanes,
            attempt_times(link).click_ns,
            architecture=link.architecture,
            window_ns=inputs.window_ns or WINDOW_NS,
        )
        match_settings(settings, [inputs.delays_ps.get(channel, 0) for channel in range(CHANNELS)])
    except ConfigError as problem:
        problems.add((*place, "window_ns"), problem.problem)
