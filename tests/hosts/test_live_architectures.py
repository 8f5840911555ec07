"""Every architecture on emulated instruments in real time: drivers, serial lines, analyser, memories.

Rates and fidelities: 240 pairs of each architecture in process, measured in three bases by the instruments,
attempts counted from the first that both memories took part in. Both lie within 4 standard errors of the
closed form: the gaps are those of a fixed seed, the bits depend on when attempts fall, and one of the four
fidelities fails by chance once in 4000 runs. The error of a fidelity is that of the closed form's own value
(its three correlators taken as equal, which is where their variances add up to the most): an error taken
from the 80 bits of a basis is far too small whenever few of them disagree.
"""

from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from bellwire.core.bell import COST_UNIT_PER_NEPER, Cost, decay_rates
from bellwire.core.settings import Architecture
from bellwire.core.units import ns_from_s
from bellwire.simulator_backend.world import MemoryTruth
from tests.hosts.conftest import frames_tracked
from tests.hosts.live import asked, lab_up, live_lab, wait_for
from tests.hosts.one_link import OneLink, Pair, one_link
from tests.hosts.recorded import RecordedRun, aged_back
from tests.physics.links_of_two import LinkCase, closed_form, lab_of

SIGMAS = 4.0
LANES = 4
ROUNDS = 60
PERIOD = {"attempt_period_us": 1000}

CASES = (
    LinkCase(architecture="double_click", km=(1, 1), visibility=0.9, dark=0.02, link=PERIOD),
    LinkCase(architecture="single_click", km=(2, 5), alpha=(0.3, 0.3), visibility=0.9, link=PERIOD),
    LinkCase(architecture="sender_receiver", km=(20, 0), dark=0.03, intrinsic_fidelity=0.95, link=PERIOD),
    LinkCase(
        architecture="midpoint_source", km=(2, 3), mean_pair_number=0.7, intrinsic_error=0.02, link=PERIOD
    ),
)

SIGN = {"X": 1, "Z": 1, "Y": -1}
"""Of the correlator in F = (1 + <XX> + <ZZ> - <YY>)/4, for Phi+."""
TURNED = {1: {"X": 1, "Z": -1, "Y": -1}, 2: {"X": -1, "Z": -1, "Y": 1}}
"""Sign of each correlator of Psi+ (code 1) and Psi- (code 2) beside that of Phi+."""


async def made(one: OneLink, rounds: int) -> dict[str, list[Pair]]:
    """Pairs of so many rounds, by the basis in which they were measured."""
    found: dict[str, list[Pair]] = {"X": [], "Y": [], "Z": []}
    for number in range(rounds):
        basis: Any = "XYZ"[number % 3]
        found[basis] += await one.pairs(number + 1, basis)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.architecture)
async def test_instruments_herald_at_the_rate_and_fidelity_of_the_closed_form(
    case: LinkCase, tmp_path: Path
) -> None:
    success, fidelity = closed_form(case)
    async with one_link(lab_of(case, lanes=LANES, live=True), tmp_path) as one:
        found = await made(one, ROUNDS)
    pairs = [pair for told in found.values() for pair in told]
    assert len(pairs) == LANES * ROUNDS
    measured = len(pairs) / sum(pair.attempts for pair in pairs)
    assert abs(measured - success) <= SIGMAS * success * sqrt((1 - success) / len(pairs))
    values = []
    for basis, told in found.items():
        agreeing = [
            (1 if pair.bits[0] == pair.bits[1] else -1) * SIGN[basis] * TURNED[pair.code][basis]
            for pair in told
        ]
        values.append(sum(agreeing) / len(agreeing))
    error = sqrt(3 * (1 - ((4 * fidelity - 1) / 3) ** 2) / (len(pairs) / 3)) / 4
    assert abs((1 + sum(values)) / 4 - fidelity) <= SIGMAS * error
    codes = {pair.code for pair in pairs}
    assert codes == ({1, 2} if case.architecture in ("double_click", "single_click") else {1})


@pytest.mark.parametrize(
    ("case", "told"),
    [(CASES[3], "double_click"), (CASES[1], "midpoint_source")],
    ids=["two memories at a polarisation analyser", "one detector where two memories are waited for"],
)
async def test_a_station_with_the_table_of_another_architecture_never_heralds(
    case: LinkCase, told: Architecture, tmp_path: Path
) -> None:
    """The light comes, and no herald does: 20 successes of the World at least."""
    lab = lab_of(case, lanes=LANES, live=True)
    async with one_link(lab, tmp_path, configured_as=told) as one:
        before = one.light()
        one.arm(1)

        async def lit() -> bool:
            return one.light() >= before + 40

        await wait_for(lit, "40 pulses at the station")
        assert one.heralds == {}
        assert one.held == {}


@pytest.mark.parametrize(
    ("name", "point", "pairs_min"),
    [
        ("link_single_click", 1, 40),
        ("link_sender_receiver", 0, 60),
        ("link_midpoint_source", 2, 60),
    ],
)
async def test_the_shipped_lab_of_an_architecture_runs_as_processes(
    name: str, point: int, pairs_min: int, tmp_path: Path
) -> None:
    """Three seconds. Both ends list the same pairs in the frames that the World knows; each was born as good
    as the brightest operating point that keeps the 0.8 of the request makes them, exactly."""
    lab = live_lab(tmp_path, name, frames_tracked)
    async with lab_up(lab, tmp_path / "state") as live:
        await live.supervisor.submit(asked(lab, "three-seconds", duration_ns=ns_from_s(3.0)))
        assert await live.ended("three-seconds") == "completed"
        # The source knows of the end first; the last pair is told by the other end a moment later.
        await live.until(
            lambda: live.delivered("alice", "three-seconds") == live.delivered("bob", "three-seconds"),
            "both ends have told the last pair",
        )
    run = RecordedRun(live.supervisor.run_dir)
    head, tail = (run.delivered(node, "three-seconds") for node in ("alice", "bob"))
    assert len(head) >= pairs_min
    (link,), memories = lab.world()
    rates = [sum(parts) / COST_UNIT_PER_NEPER for parts in zip(*map(decay_of, memories), strict=True)]
    born = {outcome.code + 1: outcome.state[outcome.code + 1] for outcome in link.physics[point].outcomes}
    for number, pair in head.items():
        truth = run.truths[pair.ends]
        assert (tail[number].ends, tail[number].frame) == (pair.ends, pair.frame)
        assert truth.frame == pair.frame
        birth_ns = pair.at_ns - pair.age_ns  # by the station's stamp: the edge of its window, 0.1 us early
        assert aged_back(truth, birth_ns, (rates[0], rates[1], rates[2])) == pytest.approx(
            born[pair.frame], abs=1e-5
        )
    assert {pair.frame for pair in head.values()} == set(born)


def decay_of(memory: MemoryTruth) -> Cost:
    """Decay of one qubit of a memory."""
    return decay_rates(memory.t1_ns, memory.t2_ns, memory.depolarising_time_ns)
