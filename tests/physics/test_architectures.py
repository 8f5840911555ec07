"""Pairs of every architecture, measured in three bases, against the closed forms of algorithms.md section 11.

In each of 15 labs 15,000 pairs are made and measured, 5000 in each of X, Y, Z. Attempts are counted from the
first that both sides make. Rate and fidelity must lie within 4 standard errors: a check fails by chance with
6.3e-5, one of the 30 with a fresh seed in 2 of 1000 runs. Seeds are fixed.
"""

from dataclasses import dataclass
from math import sqrt

import pytest

from bellwire.labs import Lab
from bellwire.simulator_backend.world import World
from tests.physics.links_of_two import GRID, NAMES, LinkCase, closed_form, lab_of

PAIRS_PER_BASIS = 5000
SIGMAS = 4.0
LINK = "ann-bob"

SIGN = {"X": 1, "Z": 1, "Y": -1}
"""Of the correlator in F = (1 + <XX> + <ZZ> - <YY>)/4, for Phi+."""
TURNED = {1: {"X": 1, "Z": -1, "Y": -1}, 2: {"X": -1, "Z": -1, "Y": 1}}
"""Sign of each correlator of Psi+ (code 1) and Psi- (code 2) beside that of Phi+."""


@dataclass(slots=True)
class Sample:
    """What two people with perfect instruments would note."""

    heralds: int
    attempts: int
    agreeing: dict[str, int]  # pairs whose bits are as the heralded Bell state says, by basis
    codes: dict[int, int]

    def correlator(self, basis: str) -> float:
        """Eigenvalue lambda of the state relative to its herald, -1..1."""
        return 2 * self.agreeing[basis] / PAIRS_PER_BASIS - 1

    @property
    def fidelity(self) -> float:
        return (1 + sum(self.correlator(basis) for basis in "XYZ")) / 4

    @property
    def fidelity_error(self) -> float:
        return sqrt(sum((1 - self.correlator(basis) ** 2) / PAIRS_PER_BASIS for basis in "XYZ")) / 4


def sample(lab: Lab, seed: int, *, point: int = 0) -> Sample:
    """Make pairs of a lab's true World, one after the other, and measure both halves."""
    links, memories = lab.world()
    world = World(links, memories, seed)
    period_ns = links[0].period_ns
    found = Sample(0, 0, dict.fromkeys("XYZ", 0), {1: 0, 2: 0})
    now_ns = 0
    for number in range(3 * PAIRS_PER_BASIS):
        first = -(-now_ns // period_ns)
        planned = None
        for node in NAMES:
            planned = world.arm(node, 0, LINK, 0, 1, 0, first, first + 10**9, now_ns, point) or planned
        assert planned is not None
        click = world.realise(planned, planned.at_ns)
        assert click is not None
        now_ns = planned.at_ns
        basis = "XYZ"[number % 3]
        bits = [world.measure(node, 0, basis, now_ns) for node in NAMES]
        seen = 1 if bits[0] == bits[1] else -1
        found.heralds += 1
        found.attempts += click.attempt - first + 1
        found.codes[click.code] += 1
        found.agreeing[basis] += seen == SIGN[basis] * TURNED[click.code][basis]
    return found


def beside(found: Sample, success: float, fidelity: float) -> list[str]:
    """What lies further than 4 standard errors from the expected numbers."""
    wrong = []
    measured = found.heralds / found.attempts
    # Standard error of a geometric law's maximum-likelihood estimate.
    if abs(measured - success) > SIGMAS * success * sqrt((1 - success) / found.heralds):
        wrong.append(f"success probability {measured:.6f}, expected {success:.6f}")
    # A state without errors leaves a sample without spread, and must be met exactly.
    if abs(found.fidelity - fidelity) > SIGMAS * found.fidelity_error + 1e-12:
        wrong.append(f"fidelity {found.fidelity:.4f} +- {found.fidelity_error:.4f}, expected {fidelity:.4f}")
    return wrong


@pytest.mark.parametrize("case", GRID, ids=lambda case: case.name)
def test_rate_and_fidelity_are_those_of_the_closed_form(case: LinkCase) -> None:
    success, fidelity = closed_form(case)
    found = sample(lab_of(case), seed=20 + GRID.index(case))
    assert beside(found, success, fidelity) == []
    if case.architecture in ("double_click", "single_click"):
        # Both codes come equally often: 15,000 tosses, sigma of their difference 122; 4 sigma.
        assert abs(found.codes[1] - found.codes[2]) <= SIGMAS * sqrt(found.heralds)
    else:
        assert found.codes[2] == 0


@pytest.mark.parametrize("case", GRID, ids=lambda case: case.name)
def test_the_lab_believes_the_closed_form(case: LinkCase) -> None:
    """To rounding: the numbers that plans, ledger and estimates begin with."""
    success, fidelity = closed_form(case)
    lab = lab_of(case)
    link = lab.network.links[LINK]
    assert link.success_probability == pytest.approx(success, rel=1e-9)
    (truth,), _ = lab.world()
    assert truth.success_probability == link.success_probability
    for outcome in truth.outcomes:
        assert outcome.state[outcome.code + 1] == pytest.approx(fidelity, rel=1e-9)


POINTS = LinkCase(
    architecture="single_click",
    km=(5, 5),
    visibility=0.9,
    link={
        "operating_points": ({"name": "dim", "alpha": (0.05, 0.05)}, {"name": "bright", "alpha": (0.3, 0.3)})
    },
)


def test_each_operating_point_gives_its_own_closed_form() -> None:
    lab = lab_of(POINTS)
    for point, alpha in enumerate((0.05, 0.3)):
        one = LinkCase(architecture="single_click", km=(5, 5), visibility=0.9, alpha=(alpha, alpha))
        assert beside(sample(lab, seed=41 + point, point=point), *closed_form(one)) == []
    assert [point.name for point in lab.network.links[LINK].points] == ["dim", "bright"]


def test_the_world_may_differ_from_what_the_lab_believes() -> None:
    truth = {"visibility": 0.6, "insertion_loss_db": 2.0, "dark_rate_hz": 1e5}
    believed = LinkCase(architecture="double_click", km=(5, 5), visibility=0.95)
    lab = lab_of(LinkCase(architecture="double_click", km=(5, 5), visibility=0.95, link={"truth": truth}))
    assert lab.network == lab_of(believed).network
    loss = 10 ** (-2.0 / 10)
    hidden = LinkCase(
        architecture="double_click", km=(5, 5), visibility=0.6, dark=1e-3, emission=(0.8 * loss, 0.8 * loss)
    )
    found = sample(lab, seed=43)
    assert beside(found, *closed_form(hidden)) == []
    assert len(beside(found, *closed_form(believed))) == 2


def test_a_wrong_closed_form_is_noticed() -> None:
    """Planted: a rate 7 % off, a fidelity 0.02 off; the checks are not blind."""
    case = LinkCase(architecture="sender_receiver", km=(10, 0), intrinsic_fidelity=0.95, dark=0.02)
    success, fidelity = closed_form(case)
    found = sample(lab_of(case), seed=44)
    assert beside(found, success, fidelity) == []
    assert len(beside(found, success * 1.07, fidelity)) == 1
    assert len(beside(found, success, fidelity + 0.02)) == 1
