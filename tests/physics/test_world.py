"""The World against qutip, against its own clusters, against an attempt-by-attempt model, and against the
ledger.

Seeds are fixed. Where a bound is statistical, the docstring states sample size and false-alarm probability.
"""

import warnings
from collections.abc import Iterable
from itertools import product
from math import exp, pi, sqrt
from random import Random
from typing import NamedTuple

import pytest
from scipy import stats

from bellwire.core import bell
from bellwire.core.bell import Bell
from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.world import Click, HeraldOutcome, LinkTruth, MemoryTruth, PlannedClick, World

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "matplotlib not found")  # its plots are not asked for here
    import qutip

A: Bell = (0.9, 0.05, 0.03, 0.02)
B: Bell = (0.85, 0.08, 0.05, 0.02)
PERFECT: Bell = (1.0, 0.0, 0.0, 0.0)
PERIOD, DELAY, FOREVER = 1_000, 400, 1 << 50
T1, T2, T_DEP = 10_000_000, 1_000_000, 30_000_000


def link(
    name: str, nodes: tuple[str, str], relative: Bell, p: float = 1.0, code: int = 1, lanes: int = 2
) -> LinkTruth:
    outcomes = (HeraldOutcome(code, 1.0, bell.permute(relative, code + 1)),)
    return LinkTruth(
        name=name, nodes=nodes, period_ns=PERIOD, success_probability=p, outcomes=outcomes, lanes=lanes,
        click_delay_ns=DELAY,
    )  # fmt: skip


def memories(
    nodes: Iterable[str] = "ABC",
    *,
    bsm: float = 1.0,
    g: float = 1.0,
    m: float = 1.0,
    g1: float = 1.0,
    noisy: bool = False,
) -> list[MemoryTruth]:
    times = (T1, T2, T_DEP) if noisy else (None, None, None)
    return [
        MemoryTruth(
            node=node, slots=6, t1_ns=times[0], t2_ns=times[1], depolarising_time_ns=times[2],
            bsm_success_probability=bsm, gate_fidelity=g, readout_fidelity=m, single_gate_fidelity=g1,
        )
        for node in nodes
    ]  # fmt: skip


def herald(
    world: World,
    name: str,
    ends: tuple[tuple[str, int], tuple[str, int]],
    now: int,
    *,
    run: int = 1,
    lane: int = 0,
) -> Click:
    """Arm both ends from `now` on with `now` as epoch, and let the planned click happen."""
    for node, slot in ends:
        planned = world.arm(node, slot, name, lane, run, now, 0, FOREVER, now)
    assert planned is not None
    click = world.realise(planned, planned.at_ns)
    assert click is not None
    return click


# --- against qutip ---------------------------------------------------------------------------------------

SIGMA = (qutip.qeye(2), qutip.sigmaz(), qutip.sigmax(), qutip.sigmay())
BELL_KETS = tuple(
    qutip.tensor(qutip.qeye(2), SIGMA[i]) * (qutip.bell_state("00")) for i in range(4)
)  # Phi+ times (I, Z, X, Y) on the second qubit


def on(operator: qutip.Qobj, qubit: int, qubits: int) -> qutip.Qobj:
    return qutip.tensor([operator if i == qubit else qutip.qeye(2) for i in range(qubits)])


def channel(rho: qutip.Qobj, qubit: int, q: Bell) -> qutip.Qobj:
    n = len(rho.dims[0])
    return sum(q[i] * on(SIGMA[i], qubit, n) * rho * on(SIGMA[i], qubit, n).dag() for i in range(4))


def stored(rho: qutip.Qobj, qubit: int, t: int) -> qutip.Qobj:
    bit, phase = (1 - exp(-t / T1)) / 4, (1 - exp(-t / T2)) / 2
    rho = channel(rho, qubit, (1 - bit - phase, phase - bit, bit, bit))
    mix = (1 - exp(-t / T_DEP)) / 4
    return channel(rho, qubit, (1 - 3 * mix, mix, mix, mix))


def bell_diagonal(rho: qutip.Qobj) -> Bell:
    a, b, c, d = (float((ket.dag() * rho * ket).real) for ket in BELL_KETS)
    return (a, b, c, d)


def qutip_swap(
    frame_a: int, frame_b: int, outcome: int, g: float, m: float, wait: tuple[int, int, int]
) -> tuple[float, Bell]:
    """(chance of the reported outcome, relative Bell diagonal of the outer pair), by circuit on four qubits.

    wait: how long the first pair, the second pair, and then the outer pair are stored.
    """
    pair_a = sum(bell.permute(A, frame_a)[i] * BELL_KETS[i].proj() for i in range(4))
    pair_b = sum(bell.permute(B, frame_b)[i] * BELL_KETS[i].proj() for i in range(4))
    rho = qutip.tensor(pair_a, pair_b)
    for qubit, t in ((1, wait[0]), (2, wait[1]), (0, wait[0] + wait[2]), (3, wait[1] + wait[2])):
        rho = stored(rho, qubit, t)
    cnot = on(qutip.fock_dm(2, 0), 1, 4) + on(qutip.fock_dm(2, 1), 1, 4) * on(qutip.sigmax(), 2, 4)
    rho = cnot * rho * cnot.dag()
    mixed = channel(channel(rho, 1, (0.25,) * 4), 2, (0.25,) * 4)
    rho = g * rho + (1 - g) * mixed
    hadamard = on((qutip.sigmax() + qutip.sigmaz()) / sqrt(2), 1, 4)
    rho = hadamard * rho * hadamard.dag()
    total = 0
    for z, x in product((0, 1), (0, 1)):
        project = on(qutip.fock_dm(2, z), 1, 4) * on(qutip.fock_dm(2, x), 2, 4)
        weight = (m if z == outcome & 1 else 1 - m) * (m if x == outcome >> 1 else 1 - m)
        total = total + weight * (project * rho * project).ptrace([0, 3])
    chance = float(total.tr().real)
    return chance, bell.permute(bell_diagonal(total / chance), frame_a ^ frame_b ^ outcome)


@pytest.mark.parametrize("promoted", [False, True], ids=["fast", "cluster"])
@pytest.mark.parametrize(("frame_a", "frame_b"), list(product(range(4), range(4))))
def test_a_swap_is_the_four_qubit_circuit_for_every_frame(frame_a: int, frame_b: int, promoted: bool) -> None:
    """Both kinds of storage noise, gate and readout noise, unequal waits; exact to 1e-9."""
    g, m, wait = 0.98, 0.99, (300_000, 200_000, 150_000)
    world = World(
        [link("ab", ("A", "B"), A), link("bc", ("B", "C"), B)],
        memories(g=g, m=m, noisy=True),
        4 * frame_a + frame_b,
    )
    first = herald(world, "ab", (("A", 0), ("B", 0)), 0)
    second = herald(world, "bc", (("B", 1), ("C", 0)), 100_000)
    world.apply_pauli("A", 0, frame_a ^ 2, first.at_ns)
    world.apply_pauli("C", 0, frame_b ^ 2, second.at_ns)
    if promoted:
        for node, slot in (("A", 0), ("B", 1)):
            world.gate(node, slot, "rz", 0.0, second.at_ns)
    at = first.at_ns + wait[0]
    assert at == second.at_ns + wait[1]
    outcome = world.measure_bell("B", 0, 1, at)
    assert outcome is not None
    chance, expected = qutip_swap(frame_a, frame_b, outcome, g, m, wait)
    assert chance == pytest.approx(0.25, abs=1e-12)
    truth = world.truth("A", 0, at + wait[2])
    assert truth is not None
    assert truth.far == ("C", 0)
    assert truth.frame == frame_a ^ frame_b ^ outcome
    assert truth.state == pytest.approx(expected, abs=1e-9)
    assert truth.ends == (("ab", 1, 0, 0, 0), ("bc", 1, 0, 0, 1))
    assert world.truth("C", 0, at + wait[2]) == truth._replace(
        far=("A", 0),
        ends=truth.ends[::-1],
        state=pytest.approx(truth.state),
        fidelity=pytest.approx(truth.fidelity),
    )
    assert world.occupied("B") == ()


def test_a_noisy_swap_gives_the_published_vector_and_every_outcome_occurs() -> None:
    """64 swaps; an outcome would be absent with probability 4 x 0.75**64 = 4e-8."""
    world = World([link("ab", ("A", "B"), A), link("bc", ("B", "C"), B, code=2)], memories(g=0.98, m=0.99), 3)
    seen = set()
    for run in range(64):
        herald(world, "ab", (("A", 0), ("B", 0)), run * 10_000, run=run)
        now = herald(world, "bc", (("B", 1), ("C", 0)), run * 10_000, run=run).at_ns
        outcome = world.measure_bell("B", 0, 1, now)
        truth = world.truth("A", 0, now)
        assert truth is not None
        assert outcome is not None
        assert truth.frame == 2 ^ 3 ^ outcome
        assert truth.state == pytest.approx(
            (0.7472874368, 0.1243873632, 0.0830901632, 0.0452350368), abs=5e-11
        )
        seen.add(outcome)
    assert seen == {0, 1, 2, 3}


def test_cluster_and_fast_form_report_the_same_outcomes_and_failures() -> None:
    """200 swaps of each form: equal one by one; uniform with 0.4 failures (chi-square, false alarm 1e-4)."""
    worlds = [
        World(
            [link("ab", ("A", "B"), A), link("bc", ("B", "C"), B)],
            memories(bsm=0.6, g=0.9, m=0.9, noisy=True),
            5,
        )
        for _ in range(2)
    ]
    reported: list[list[int | None]] = [[], []]
    for index, world in enumerate(worlds):
        for run in range(200):
            herald(world, "ab", (("A", 0), ("B", 0)), run * 10_000, run=run)
            now = herald(world, "bc", (("B", 1), ("C", 0)), run * 10_000, run=run).at_ns
            if index == 1:
                world.gate("B", 0, "h", 0.0, now)
                world.gate("B", 0, "h", 0.0, now)
            reported[index].append(world.measure_bell("B", 1, 0, now))
            assert (world.truth("A", 0, now) is None) == (reported[index][-1] is None)
    assert reported[0] == reported[1]
    counts = [reported[0].count(outcome) for outcome in (0, 1, 2, 3, None)]
    assert stats.chisquare(counts, [30, 30, 30, 30, 80]).pvalue > 1e-4


def test_chains_agree_with_the_ledgers_integers_in_any_swap_order() -> None:
    """Four links, swaps at three nodes in every order, true parameters in the ledger form; exact to 1e-12."""
    nodes = "ABCDE"
    names = [nodes[i : i + 2] for i in range(4)]
    rates = bell.decay_rates(T1, T2, T_DEP)
    for order in [(1, 2, 3), (3, 1, 2), (2, 3, 1), (2, 1, 3)]:
        links = [link(name, (name[0], name[1]), A) for name in names]
        world = World(links, memories(nodes, g=0.97, m=0.98, noisy=True), 6)
        born = [
            herald(world, name, ((name[0], 1), (name[1], 0)), 50_000 * i).at_ns
            for i, name in enumerate(names)
        ]
        now, frame = 400_000, 0
        total = bell.PERFECT
        for _ in born:
            total, frame = bell.join(total, bell.to_walsh(A)), frame ^ 2
        for middle in order:
            now += 30_000
            outcome = world.measure_bell(nodes[middle], 0, 1, now)
            assert outcome is not None
            frame ^= outcome
            total = bell.join(total, bell.bsm_cost(0.97, 0.98))
            for at in born[middle - 1 : middle + 1]:
                total = bell.decay(total, rates, now - at)
        now += 100_000
        total = bell.decay(bell.decay(total, rates, now - born[0]), rates, now - born[3])
        truth = world.truth("A", 1, now)
        assert truth is not None
        assert truth.frame == frame
        assert truth.state == pytest.approx(bell.from_walsh(total), abs=1e-12)


def test_looking_changes_nothing() -> None:
    worlds = [World([link("ab", ("A", "B"), A)], memories(noisy=True), 1) for _ in range(2)]
    for world in worlds:
        herald(world, "ab", (("A", 0), ("B", 0)), 0)
    for t in range(1_000, 200_000, 777):
        worlds[0].truth("A", 0, t)
    assert worlds[0].truth("B", 0, 250_000) == worlds[1].truth("B", 0, 250_000)


def test_two_halves_of_one_pair_measured_together_report_its_frame() -> None:
    world = World([link("ab", ("A", "B"), PERFECT)], memories(), 2)
    for run in range(20):
        for lane in (0, 1):
            now = herald(world, "ab", (("A", lane), ("B", lane)), run * 10_000, run=run, lane=lane).at_ns
        outcome = world.measure_bell("B", 0, 1, now)
        truth = world.truth("A", 0, now)
        assert truth is not None
        assert truth.far == ("A", 1)
        assert truth.frame == outcome
        assert world.measure_bell("A", 0, 1, now) == outcome


# --- measurements and gates ------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize(("basis", "character"), [("X", 1), ("Z", 2), ("Y", 3)])
def test_measurements_correlate_as_the_bell_state_says(index: int, basis: str, character: int) -> None:
    """Perfect readout: every one of 8 pairs. Readout 0.9: mean of 250 within 5.5 sigma of 0.64, 4e-8 each."""
    sign = (-1) ** ((character & index).bit_count() + (basis == "Y"))
    for readout, samples in ((1.0, 8), (0.9, 250)):
        world, total = World([link("ab", ("A", "B"), PERFECT)], memories(m=readout), 11), 0
        for run in range(samples):
            now = herald(world, "ab", (("A", 0), ("B", 0)), run * 10_000, run=run).at_ns
            world.apply_pauli("B", 0, index ^ 2, now)
            total += (-1) ** (world.measure("A", 0, basis, now) ^ world.measure("B", 0, basis, now))
        expected = sign * (2 * readout - 1) ** 2
        sigma = sqrt((1 - expected**2) / samples)
        assert abs(total / samples - expected) <= 5.5 * sigma + 1e-12


def purify(world: World, run: int, rotate: bool, pauli: tuple[int, int]) -> tuple[bool, Bell | None, int]:
    """One recurrence round on lanes 0 (kept) and 1 (measured); what a perfect tracker decides."""
    now = run * 100_000
    for lane in (0, 1):
        at = herald(world, "ab", (("A", lane), ("B", lane)), now, run=run, lane=lane).at_ns
        world.apply_pauli("B", lane, pauli[lane], at)
    frames = [2 ^ p for p in pauli]
    for node, angle in (("A", pi / 2), ("B", -pi / 2)):
        for lane in (0, 1):
            if rotate:
                world.gate(node, lane, "rx", angle, at)
        world.cnot(node, 0, 1, at)
    if rotate:
        frames = [f ^ 2 if f & 1 else f for f in frames]
    bits = world.measure("A", 1, "Z", at) ^ world.measure("B", 1, "Z", at)
    keep = bits == (frames[0] ^ frames[1]) >> 1
    truth = world.truth("A", 0, at)
    assert truth is not None
    assert truth.frame == frames[0] ^ (frames[1] & 1)
    return keep, truth.state, truth.frame


@pytest.mark.parametrize("rotate", [False, True], ids=["recurrence", "dejmps"])
@pytest.mark.parametrize("noise", [(1.0, 1.0), (0.97, 0.95)], ids=["perfect", "noisy"])
def test_purification_by_gates_is_the_published_map(rotate: bool, noise: tuple[float, float]) -> None:
    """Kept states exact to 1e-9; share kept of 300 rounds within 5 sigma of p, false alarm 6e-7 each."""
    g, m = noise
    rule = bell.dejmps if rotate else bell.recurrence
    expected = rule(A, A, gate_fidelities=(g, g), readout_fidelities=(m, m))
    world, kept, rounds = World([link("ab", ("A", "B"), A)], memories(g=g, m=m), 12), 0, 300
    for run in range(rounds):
        keep, state, _ = purify(world, run, rotate, (run % 4, run // 4 % 4))
        if keep:
            kept += 1
            assert state == pytest.approx(expected.state, abs=1e-9)
    p = expected.success_probability
    assert abs(kept / rounds - p) < 5 * sqrt(p * (1 - p) / rounds)


def test_a_purified_pair_returns_to_the_fast_form_and_swaps_on() -> None:
    world = World([link("ab", ("A", "B"), A), link("bc", ("B", "C"), B)], memories(noisy=True), 13)
    keep, _, frame = purify(world, 0, False, (0, 1))
    herald(world, "bc", (("B", 2), ("C", 0)), 200_000)
    before = world.truth("A", 0, 250_000), world.truth("B", 2, 250_000)
    outcome = world.measure_bell("B", 0, 2, 250_000)
    after = world.truth("A", 0, 250_000)
    assert keep
    assert None not in (before[0], before[1], after, outcome)
    assert after is not None
    assert before[0] is not None
    assert before[1] is not None
    assert outcome is not None
    assert after.frame == frame ^ 2 ^ outcome
    assert after.state == pytest.approx(bell.xor_convolve(before[0].state, before[1].state), abs=1e-12)


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.1])
def test_a_prepared_state_is_teleported_through_pair_and_frame(angle: float) -> None:
    """Perfect devices: undoing the preparation at the far end always reads 0, for 12 runs."""
    world = World([link("ab", ("A", "B"), PERFECT)], memories(), 14)
    for run in range(12):
        now = herald(world, "ab", (("A", 0), ("B", 0)), run * 10_000, run=run).at_ns
        world.initialise("A", 1, now)
        world.gate("A", 1, "ry", angle, now)
        world.gate("A", 1, "rz", 0.4, now)
        outcome = world.measure_bell("A", 1, 0, now)
        assert outcome is not None
        world.apply_pauli("B", 0, outcome ^ 2, now)
        world.gate("B", 0, "rz", -0.4, now)
        world.gate("B", 0, "ry", -angle, now)
        assert world.measure("B", 0, "Z", now) == 0
        assert world.occupied("A") == world.occupied("B") == ()


def test_cz_is_cnot_between_hadamards() -> None:
    """Both circuits undo each other on a pair: the state and frame return."""
    world = World([link("ab", ("A", "B"), A)], memories(), 15)
    for lane in (0, 1):
        now = herald(world, "ab", (("A", lane), ("B", lane)), 0, lane=lane).at_ns
    before = world.truth("A", 0, now)
    world.cnot("A", 0, 1, now)
    world.gate("A", 1, "h", 0.0, now)
    world.cz("A", 0, 1, now)
    world.gate("A", 1, "h", 0.0, now)
    assert world.truth("A", 0, now) is None  # four qubits in one cluster are not a pair
    world.release("A", 1, now)
    world.release("B", 1, now)
    after = world.truth("A", 0, now)
    assert before is not None
    assert after is not None
    assert (after.frame, after.far) == (before.frame, before.far)
    assert after.state == pytest.approx(before.state, abs=1e-12)


def test_one_qubit_gates_depolarise_alike_in_both_forms() -> None:
    states = []
    for promoted in (False, True):
        world = World([link("ab", ("A", "B"), A)], memories(g1=0.9, noisy=True), 16)
        now = herald(world, "ab", (("A", 0), ("B", 0)), 0).at_ns
        if promoted:
            world.cnot("A", 0, 5, now)  # with an empty slot: promotes, and changes the state
            world.release("A", 5, now)
            world = World([link("ab", ("A", "B"), A)], memories(g1=0.9, noisy=True), 16)
            herald(world, "ab", (("A", 0), ("B", 0)), 0)
            world.gate("A", 0, "rx", 0.0, now)
        else:
            world.apply_pauli("A", 0, 2, now)
        world.apply_pauli("B", 0, 1, now + 50_000)
        truth = world.truth("B", 0, now + 90_000)
        assert truth is not None
        states.append(truth.state)
    assert states[0] == pytest.approx(states[1], abs=1e-12)
    survival = 0.9**2 * exp(-2 * 90_000 / T_DEP)
    twirled = bell.t1_t2_twirled(bell.t1_t2_twirled(A, 90_000, T1, T2), 90_000, T1, T2)
    assert states[0] == pytest.approx(bell.depolarise(twirled, survival), abs=1e-9)


# --- attempts --------------------------------------------------------------------------------------------


def test_waiting_times_are_geometric_per_run_and_per_gap() -> None:
    """First and second gap of 2,000 runs, chi-square in 10 bins each, false alarm 1e-4 each."""
    p, runs = 0.1, 2_000
    world = World([link("ab", ("A", "B"), A, p)], memories(), 21)
    gaps: list[list[int]] = [[], []]
    for run in range(runs):
        previous = -1
        for k in (0, 1):
            world.arm("A", 0, "ab", 0, run, 0, previous + 1, FOREVER, 0)
            planned = world.arm("B", 0, "ab", 0, run, 0, 0, FOREVER, 0)
            assert planned is not None
            assert planned.at_ns == planned.attempt * PERIOD + DELAY
            gaps[k].append(planned.attempt - previous)
            previous = planned.attempt
            assert world.realise(planned, planned.at_ns) is not None
    edges = [1, 2, 3, 5, 7, 9, 12, 16, 22]
    survival = [1.0, *[(1 - p) ** edge for edge in edges], 0.0]
    expected = [runs * (survival[i] - survival[i + 1]) for i in range(len(edges) + 1)]
    for sample in gaps:
        counts = [0] * len(expected)
        for gap in sample:
            counts[sum(gap > edge for edge in edges)] += 1
        assert stats.chisquare(counts, expected).pvalue > 1e-4


def test_herald_codes_follow_their_shares() -> None:
    """1,000 heralds with shares 0.3 and 0.7, within 5 sigma, false alarm 6e-7; frames follow the codes."""
    outcomes = (HeraldOutcome(1, 0.3, (0.0, 0.0, 1.0, 0.0)), HeraldOutcome(2, 0.7, (0.0, 0.0, 0.1, 0.9)))
    truth = LinkTruth(
        name="ab", nodes=("A", "B"), period_ns=PERIOD, success_probability=1.0, outcomes=outcomes, lanes=1,
        click_delay_ns=DELAY,
    )  # fmt: skip
    world, first = World([truth], memories(), 22), 0
    for run in range(1_000):
        click = herald(world, "ab", (("A", 0), ("B", 0)), run * 10_000, run=run)
        pair = world.truth("A", 0, click.at_ns)
        assert pair is not None
        assert pair.frame == {1: 2, 2: 3}[click.code]
        assert pair.fidelity == pytest.approx({1: 1.0, 2: 0.9}[click.code])
        first += click.code == 1
    assert abs(first - 300) < 5 * sqrt(1_000 * 0.3 * 0.7)


DELAY_LONG = 2_500
"""Longer than two periods: attempts, disarms and new leases overlap a click in flight."""

Witnessed = tuple[int, int, tuple[bool, bool]]
"""Attempt, run, and whether each side still held its qubit."""


class Flight(NamedTuple):
    """A winning attempt whose click is still to come."""

    attempt: int
    run: int
    held: list[bool]


class Walker:
    """The slow truth of one lane: every attempt is walked, every rule is written as it is spoken."""

    def __init__(self, p: float, seed: int) -> None:
        self.chance, self.p = Chance(seed), p
        self.sides: list[tuple[int, int, int] | None] = [None, None]  # run, first, last
        self.flying: list[Flight] = []
        self.count: dict[int, list[int]] = {}  # run -> [gap index, attempts of this gap so far]
        self.walked = 0

    def advance(self, now: int) -> list[Witnessed]:
        """Clicks due up to and including now, and every attempt that starts before now, in order of time."""
        clicks: list[Witnessed] = []
        while True:
            due = self.flying[0].attempt * PERIOD + DELAY_LONG if self.flying else now + 1
            if due <= min(now, self.walked * PERIOD):
                flight = self.flying.pop(0)
                clicks.append((flight.attempt, flight.run, (flight.held[0], flight.held[1])))
                self.sides = [
                    None if held else side for side, held in zip(self.sides, flight.held, strict=True)
                ]
            elif self.walked * PERIOD < now:
                self.attempt(self.walked)
                self.walked += 1
            else:
                return clicks

    def attempt(self, a: int) -> None:
        one, two = self.sides
        if one is None or two is None or one[0] != two[0] or any(any(flight.held) for flight in self.flying):
            return
        if not (one[1] <= a <= one[2] and two[1] <= a <= two[2]):
            return
        state = self.count.setdefault(one[0], [0, 0])
        state[1] += 1
        if state[1] == self.chance.geometric(self.p, "gap", "ab", 0, one[0], state[0]):
            state[0], state[1] = state[0] + 1, 0
            self.flying.append(Flight(a, one[0], [True, True]))

    def disarm(self, side: int) -> None:
        self.sides[side] = None
        for flight in self.flying:
            flight.held[side] = False


@pytest.mark.parametrize("seed", range(40))
def test_lanes_agree_with_a_model_that_walks_every_attempt(seed: int) -> None:
    """300 random arms, disarms, shortenings and run changes a seed; every click alike."""
    random, p = Random(seed), 0.4
    truth = LinkTruth(
        name="ab", nodes=("A", "B"), period_ns=PERIOD, success_probability=p, lanes=1,
        click_delay_ns=DELAY_LONG, outcomes=(HeraldOutcome(1, 1.0, (0.0, 0.0, 1.0, 0.0)),),
    )  # fmt: skip
    world, walker = World([truth], memories("AB"), seed), Walker(p, seed)
    plans: list[PlannedClick] = []
    got: list[Witnessed] = []
    wanted: list[Witnessed] = []
    slots = {"A": 0, "B": 0}
    now = 0
    for _ in range(300):
        now += random.choice((0, 300, 1_000, 1_700, 4_000))
        for planned in sorted((plan for plan in plans if plan.at_ns <= now), key=lambda plan: plan.at_ns):
            plans.remove(planned)
            click = world.realise(planned, planned.at_ns)
            if click is not None:
                got.append((click.attempt, click.run, click.held))
        wanted.extend(walker.advance(now))
        side = random.randrange(2)
        node = "AB"[side]
        if random.random() < 0.3:
            world.disarm(node, slots[node], now)
            walker.disarm(side)
        else:
            run = random.choice((1, 1, 1, 2))
            first = max(0, now // PERIOD + random.randrange(-3, 4))
            last = first + random.randrange(0, 12)
            current = walker.sides[side]
            if current is not None and current[0] != run:
                walker.disarm(side)
            elif current is not None and random.random() < 0.2:
                walker.disarm(side)
                slots[node] ^= 1  # the other slot takes over the lane
            planned_now = world.arm(node, slots[node], "ab", 0, run, 0, first, last, now)
            walker.sides[side] = (run, max(first, -(-now // PERIOD)), last)
            if planned_now is not None:
                plans.append(planned_now)
    assert len(got) > 2
    assert got == wanted


def test_an_interrupted_gap_uses_up_attempts_and_carries_the_rest_over() -> None:
    """Windows of four attempts, cut by disarms: the total is the drawn gap exactly, for 30 seeds."""
    p = 0.02
    for seed in range(30):
        world, used, now, planned = World([link("ab", ("A", "B"), A, p)], memories(), seed), 0, 0, None
        gap = Chance(seed).geometric(p, "gap", "ab", 0, 1, 0)
        while True:
            first = now // PERIOD
            world.arm("A", 0, "ab", 0, 1, 0, first, FOREVER, now)
            planned = world.arm("B", 0, "ab", 0, 1, 0, first, first + 6, now)
            if planned is not None and planned.attempt < first + 4:
                break
            now += 4 * PERIOD  # four attempts have started when A is taken away, the fifth has not
            world.disarm("A", 0, now)
            used += 4
            now += 5 * PERIOD
        assert used + planned.attempt - first + 1 == gap


def test_a_disarm_before_the_winning_attempt_overtakes_the_plan_and_after_it_leaves_a_lone_qubit() -> None:
    world = World([link("ab", ("A", "B"), A)], memories(), 23)
    world.arm("A", 0, "ab", 0, 1, 0, 5, FOREVER, 0)
    planned = world.arm("B", 0, "ab", 0, 1, 0, 0, FOREVER, 0)
    assert planned is not None
    assert planned.attempt == 5
    world.disarm("A", 0, 5 * PERIOD)  # the very start of attempt 5: not begun
    assert world.realise(planned, planned.at_ns) is None
    again = world.arm("A", 0, "ab", 0, 1, 0, 0, FOREVER, 5 * PERIOD + 1)
    assert again is not None
    assert (again.attempt, again.serial > planned.serial) == (6, True)
    world.disarm("A", 0, 6 * PERIOD + 1)
    click = world.realise(again, again.at_ns)
    assert click is not None
    assert (click.slots, click.held) == ((0, 0), (False, True))
    assert (world.occupied("A"), world.occupied("B")) == ((), (0,))
    assert world.truth("B", 0, again.at_ns) is None
    assert world.attempting("B") == ()
    assert world.realise(again, again.at_ns) is None


def test_a_shortened_lease_overtakes_the_plan_and_an_extended_one_keeps_it() -> None:
    world = World([link("ab", ("A", "B"), A)], memories(), 24)
    world.arm("A", 0, "ab", 0, 1, 0, 5, 9, 0)
    planned = world.arm("B", 0, "ab", 0, 1, 0, 0, 9, 0)
    assert planned is not None
    assert world.arm("B", 0, "ab", 0, 1, 0, 0, 20, 1_000) is None
    assert world.arm("B", 0, "ab", 0, 1, 0, 0, 4, 1_000) is None
    assert world.realise(planned, planned.at_ns) is None


def test_sides_with_other_runs_or_epochs_never_meet() -> None:
    world = World([link("ab", ("A", "B"), A)], memories(), 25)
    world.arm("A", 0, "ab", 0, 1, 0, 0, FOREVER, 0)
    assert world.arm("B", 0, "ab", 0, 2, 0, 0, FOREVER, 0) is None
    assert world.arm("B", 0, "ab", 0, 1, 10, 0, FOREVER, 0) is None
    assert world.arm("B", 0, "ab", 0, 1, 0, 0, FOREVER, 0) is not None


def test_neighbouring_heralds_and_reversed_slots_draw_as_their_keys_say() -> None:
    """Lanes of one attempt differ (all 40 alike: 2**-40); the order of naming the slots does not matter."""
    outcomes = tuple(HeraldOutcome(code, 0.5, bell.permute(A, code + 1)) for code in (1, 2))
    truth = LinkTruth(
        name="ab", nodes=("A", "B"), period_ns=PERIOD, success_probability=1.0, outcomes=outcomes, lanes=2,
        click_delay_ns=DELAY,
    )  # fmt: skip
    worlds = [World([truth], memories(bsm=0.7), 27) for _ in range(2)]
    alike, reported = 0, []
    for run in range(40):
        clicks = [
            [
                herald(world, "ab", (("A", lane), ("B", lane)), run * 10_000, run=run, lane=lane)
                for lane in (0, 1)
            ]
            for world in worlds
        ]
        alike += clicks[0][0].code == clicks[0][1].code
        now = clicks[0][1].at_ns
        reported.append((worlds[0].measure_bell("A", 0, 1, now), worlds[1].measure_bell("A", 1, 0, now)))
    assert 0 < alike < 40
    assert all(one == other for one, other in reported)


def test_independent_links_meet_the_same_world_in_any_order_of_calls() -> None:
    def history(order: list[str]) -> dict[str, list[object]]:
        names = ("ab", "cd", "ef")
        links = [link(name, (name[0].upper(), name[1].upper()), A, 0.05) for name in names]
        world = World(links, memories("ABCDEF", bsm=0.5), 26)
        seen: dict[str, list[object]] = {name: [] for name in names}
        at = dict.fromkeys(names, 0)
        for name in order:
            near, far, run = name[0].upper(), name[1].upper(), len(seen[name])
            for lane in (0, 1):
                click = herald(world, name, ((near, lane), (far, lane)), at[name], run=run, lane=lane)
                seen[name].append(click)
            seen[name].append(world.measure_bell(near, 0, 1, click.at_ns + 100_000))
            seen[name].append(world.measure(far, 0, "Z", click.at_ns + 100_000))
            at[name] += 1_000_000
        return seen

    order = ["ab", "cd", "ef"] * 8
    shuffled = order.copy()
    Random(1).shuffle(shuffled)
    assert history(order) == history(shuffled) == history(sorted(order))


# --- losses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["release", "initialise", "lose_node", "arm", "measure"])
def test_a_lost_half_leaves_its_partner_alone(loss: str) -> None:
    world = World([link("ab", ("A", "B"), A), link("bc", ("B", "C"), B)], memories(), 31)
    now = herald(world, "ab", (("A", 0), ("B", 0)), 0).at_ns
    herald(world, "bc", (("B", 1), ("C", 0)), 0)
    match loss:
        case "release":
            world.release("A", 0, now)
        case "initialise":
            world.initialise("A", 0, now)
        case "lose_node":
            world.lose_node("A", now)
        case "arm":
            world.arm("A", 0, "ab", 1, 9, 0, 0, 10, now)
        case _:
            world.measure("A", 0, "Z", now)
    assert world.truth("B", 0, now) is None
    assert world.occupied("B") == (0, 1)
    assert world.measure_bell("B", 0, 1, now) in (0, 1, 2, 3)
    assert world.truth("C", 0, now) is None
    assert (world.occupied("B"), world.occupied("C")) == ((), (0,))


def test_a_failed_bell_measurement_loses_both_qubits() -> None:
    world = World([link("ab", ("A", "B"), A), link("bc", ("B", "C"), B)], memories(bsm=0.0), 32)
    herald(world, "ab", (("A", 0), ("B", 0)), 0)
    now = herald(world, "bc", (("B", 1), ("C", 0)), 0).at_ns
    assert world.measure_bell("B", 0, 1, now) is None
    assert world.occupied("B") == ()
    assert world.truth("A", 0, now) is None
    assert world.truth("C", 0, now) is None


def test_a_dark_link_never_clicks() -> None:
    world = World([link("ab", ("A", "B"), A, 0.0)], memories(), 33)
    world.arm("A", 0, "ab", 0, 1, 0, 0, FOREVER, 0)
    assert world.arm("B", 0, "ab", 0, 1, 0, 0, FOREVER, 0) is None


def test_misuse_is_refused() -> None:
    world = World([link("ab", ("A", "B"), A)], memories(), 34)
    world.arm("A", 0, "ab", 0, 1, 0, 0, FOREVER, 0)
    planned = world.arm("B", 0, "ab", 0, 1, 0, 0, FOREVER, 0)
    assert planned is not None
    with pytest.raises(LocalMisuse, match="early"):
        world.realise(planned, planned.at_ns - 1)
    for bad in (
        lambda: world.arm("C", 0, "ab", 0, 1, 0, 0, 1, 0),
        lambda: world.arm("A", 0, "ab", 2, 1, 0, 0, 1, 0),
        lambda: world.arm("A", 9, "ab", 0, 1, 0, 0, 1, 0),
        lambda: world.arm("A", 0, "zz", 0, 1, 0, 0, 1, 0),
        lambda: world.release("Z", 0, 0),
        lambda: world.measure_bell("A", 1, 1, 0),
        lambda: world.cnot("A", 1, 1, 0),
        lambda: world.apply_pauli("A", 1, 4, 0),
        lambda: world.gate("A", 1, "t", 0.0, 0),
        lambda: world.measure("A", 1, "W", 0),
        lambda: World([link("ab", ("A", "Q"), A)], memories(), 0),
        lambda: World([link("ab", ("A", "A"), A)], memories(), 0),
        lambda: World([link("ab", ("A", "B"), (0.5, 0.0, 0.0, 0.0))], memories(), 0),
        lambda: World([], [*memories("A"), *memories("A")], 0),
    ):
        with pytest.raises(LocalMisuse):
            bad()
