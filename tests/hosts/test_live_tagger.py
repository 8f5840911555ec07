"""Links heralded by the clicks of a tagger, on emulated instruments in real time: rates, fidelities, losses.

As in test_live_architectures.py: 240 pairs of each architecture, measured in three bases by the instruments;
rate and fidelity within 4 standard errors of the closed form, one false alarm in 4000 runs of a fidelity.
"""

from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from bellwire.labs import Lab
from bellwire.simulator_backend.devices.faults import Fault
from tests.hosts.live import wait_for
from tests.hosts.one_link import OneLink, one_link
from tests.hosts.test_live_architectures import LANES, ROUNDS, SIGMAS, SIGN, TURNED, made
from tests.physics.links_of_two import LinkCase, closed_form, emulated, lab_of

PERIOD = {"attempt_period_us": 1000}
WIRED = {
    "single_click": {"left": 1, "right": 3},
    "sender_receiver": {"receiver": 2},
    "midpoint_source": {"first": 1, "second": 2},
}
CASES = (
    LinkCase(
        architecture="single_click", km=(2, 5), alpha=(0.3, 0.3), dark=1e-6, visibility=0.9, link=PERIOD
    ),
    LinkCase(architecture="sender_receiver", km=(20, 0), dark=1e-6, intrinsic_fidelity=0.95, link=PERIOD),
    LinkCase(
        architecture="midpoint_source", km=(2, 3), mean_pair_number=0.7, intrinsic_error=0.02, link=PERIOD
    ),
)


def tagged_lab(case: LinkCase, **changed: Any) -> Lab:
    """The lab of a case whose station has a tagger; its first detector is 12.5 ns late."""
    wired = WIRED[case.architecture]
    herald = {
        "driver": "tagger_herald",
        "address": "equipment:tagger",
        "pps_channel": 4,
        "detector_channels": wired,
        "detector_delays_ns": {next(iter(wired)): 12.5},
        "window_ns": 20,
        **changed,
    }
    tagger = emulated("fpga_tagger", "mid-tagger")
    station = {"instruments": {"herald": herald}, "equipment": {"tagger": tagger}}
    return lab_of(case, lanes=LANES, live=True, station=station)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.architecture)
async def test_a_tagger_heralds_at_the_rate_and_fidelity_of_the_closed_form(
    case: LinkCase, tmp_path: Path
) -> None:
    success, fidelity = closed_form(case)
    async with one_link(tagged_lab(case), tmp_path) as one:
        found = await made(one, ROUNDS)
    pairs = [pair for told in found.values() for pair in told]
    assert len(pairs) == LANES * ROUNDS
    measured = len(pairs) / sum(pair.attempts for pair in pairs)
    assert abs(measured - success) <= SIGMAS * success * sqrt((1 - success) / len(pairs))
    values, error = [], 0.0
    for basis, told in found.items():
        agreeing = [
            (1 if pair.bits[0] == pair.bits[1] else -1) * SIGN[basis] * TURNED[pair.code][basis]
            for pair in told
        ]
        values.append(sum(agreeing) / len(agreeing))
        error += (1 - values[-1] ** 2) / len(agreeing)
    assert abs((1 + sum(values)) / 4 - fidelity) <= SIGMAS * sqrt(error) / 4


def analyser(one: OneLink) -> Any:
    return one.instruments["mid"]._analyser


async def test_an_overflow_makes_attempts_unknown_and_heralds_go_on_after_it(tmp_path: Path) -> None:
    async with one_link(tagged_lab(CASES[0]), tmp_path) as one:
        await one.pairs(1, "Z")
        assert analyser(one).counters.unknown == 0
        tagger = one.emulation.equipment.emulator("mid-tagger")
        tagger.set_fault(Fault.OVERFLOW)
        one.arm(2)

        async def unknown() -> bool:
            return bool(analyser(one).counters.unknown > 0)

        await wait_for(unknown, "attempts are unknown")
        tagger.clear_fault(Fault.OVERFLOW)
        decided = analyser(one).counters.decided

        async def going_on() -> bool:
            return bool(analyser(one).counters.decided > decided + 2000)

        await wait_for(going_on, "attempts are decided again")
        counters = analyser(one).counters
        assert counters.decided == counters.succeeded + counters.failed + counters.unknown
        for node in ("ann", "bob"):
            for lane in one.lanes:
                one.release(node, lane)
        assert len(await one.pairs(3, "Z")) == LANES
