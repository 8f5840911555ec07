"""Measured pairs: bases, rotations, and the correlations that Bell states give, against density matrices."""

import warnings
from itertools import product
from math import sqrt

import numpy as np
import pytest

from bellwire.core.bases import AXES, BASES, correlation, measurement_of, parity
from bellwire.core.effects import MeasureQubit
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End
from bellwire.core.link_words import Basis, BasisChoice, LinkOkMeasure
from tests.link_layer.bench import MS
from tests.link_layer.creating import PAULIS, CreateBench, bell_state, check_nothing_is_left, projector

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "matplotlib not found")  # its plots are not asked for here
    import qutip

# In the order of frames: Phi+, Phi-, Psi+, Psi- ("xy" of qutip: x flips the bits, y the sign).
QUTIP_BELL = [qutip.bell_state(name).proj() for name in ("00", "01", "10", "11")]


def end_of(attempt: int, side: int = 0) -> End:
    return End("a-b", 7, attempt, 1, side)


def order_for(choice: BasisChoice, attempt: int, seed: int = 5) -> tuple[Basis, MeasureQubit]:
    told, basis, rotation = measurement_of(choice, seed, end_of(attempt))
    order = MeasureQubit(operation=1, slot=0, basis=basis, tag=0, within_ns=1, rotation=rotation)
    return told, order


def test_what_the_memory_is_ordered_to_do_measures_the_basis_that_is_told() -> None:
    seen: set[Basis] = set()
    for random in ("XZ", "XYZ", "CHSH"):
        for attempt in range(40):
            told, order = order_for(
                BasisChoice(random=random, first=100, second=70 * (random == "XYZ")), attempt
            )
            x, y, z = AXES[told]
            axis = x * PAULIS["X"] + y * PAULIS["Y"] + z * PAULIS["Z"]
            assert np.allclose(projector(order), (np.eye(2) + axis) / 2, atol=1e-12), told
            seen.add(told)
    assert seen == set(AXES)


def test_a_fixed_rotation_is_ordered_as_it_was_asked_and_told_as_z() -> None:
    assert measurement_of(BasisChoice(rotation=(3, 4, 5)), 1, end_of(0)) == ("Z", "Z", (3, 4, 5))


@pytest.mark.parametrize("frame", range(4))
def test_correlations_are_those_of_the_density_matrix(frame: int) -> None:
    pauli = {"X": qutip.sigmax(), "Y": qutip.sigmay(), "Z": qutip.sigmaz()}
    state = QUTIP_BELL[frame]
    assert np.allclose(bell_state(frame), state.full())
    for one, other in product(AXES, AXES):
        left, right = (
            sum(part * pauli[name] for part, name in zip(AXES[basis], "XYZ", strict=True))
            for basis in (one, other)
        )
        mean = qutip.expect(qutip.tensor(left, right), state)
        assert correlation(one, other, frame) == pytest.approx(mean, abs=1e-12)


def test_parities_are_those_of_the_table() -> None:
    assert [[parity(basis, frame) for basis in ("X", "Y", "Z")] for frame in range(4)] == [
        [0, 1, 0],
        [1, 0, 0],
        [0, 0, 1],
        [1, 1, 1],
    ]
    with pytest.raises(LocalMisuse, match="frame 4"):
        parity("X", 4)


def test_chsh_means_of_phi_plus_add_up_to_two_root_two() -> None:
    value = (
        correlation("X", "Z+45", 0)
        + correlation("Z", "Z+45", 0)
        + correlation("Z", "Z-45", 0)
        - correlation("X", "Z-45", 0)
    )
    assert value == pytest.approx(2 * sqrt(2))


@pytest.mark.parametrize(
    ("random", "first", "second"),
    [("XZ", 128, 0), ("XZ", 0, 0), ("XZ", 255, 0), ("XYZ", 85, 85), ("CHSH", 60, 0)],
)
def test_bases_are_drawn_with_their_weights(random: str, first: int, second: int) -> None:
    choice = BasisChoice(random=random, first=first, second=second)  # type: ignore[arg-type]  # a Literal
    drawn = [measurement_of(choice, 11, end_of(attempt)).told for attempt in range(5_000)]
    weights = [first, second, 255 - first - second] if random == "XYZ" else [first, 255 - first]
    for basis, weight in zip(BASES[random], weights, strict=True):
        share = weight / 255
        # 5000 draws with a fixed seed, 5 standard errors: false alarm 6e-7 each; exact for shares 0 and 1.
        assert abs(drawn.count(basis) / 5_000 - share) <= 5 * sqrt(share * (1 - share) / 5_000)


def test_a_choice_follows_from_seed_and_name_and_the_two_ends_choose_apart() -> None:
    choice = BasisChoice(random="XZ", first=128)
    first, again = (
        [measurement_of(choice, 3, end_of(attempt)) for attempt in range(2_000)] for _ in range(2)
    )
    assert first == again
    # Another seed, or the same seed at the other end: half of the choices agree, n = 2000, 5 standard errors.
    for others in (
        [measurement_of(choice, 4, end_of(attempt)) for attempt in range(2_000)],
        [measurement_of(choice, 3, end_of(attempt, 1)) for attempt in range(2_000)],
    ):
        agreeing = sum(one == other for one, other in zip(first, others, strict=True))
        assert abs(agreeing - 1_000) < 5 * sqrt(500)


def joined(bench: CreateBench) -> list[tuple[LinkOkMeasure, LinkOkMeasure]]:
    """What both users were told of each pair."""
    there = {ok.end.partner: ok for ok in bench.of("b", LinkOkMeasure)}
    return [(ok, there[ok.end]) for ok in bench.of("a", LinkOkMeasure)]


@pytest.mark.parametrize("station", [True, False])
def test_bits_of_both_users_follow_from_the_frame_that_they_are_told(station: bool) -> None:
    bench = CreateBench(21, station=station)
    six = BasisChoice(random="XYZ", first=85, second=85)
    bench.create("a", count=900, kind="measure", local=six, remote=six)
    bench.run(3_000 * MS)
    pairs = joined(bench)
    assert len(pairs) == 900
    alike = [(one, other) for one, other in pairs if one.basis == other.basis]
    assert len(alike) > 200
    assert {one.frame for one, _ in alike} == {2, 3}
    for one, other in alike:
        assert one.basis in ("X", "Y", "Z")
        assert one.frame == other.frame
        assert one.bit ^ other.bit == parity(one.basis, one.frame)
    # Unlike bases say nothing: mean 0, n about 600, 5 standard errors (false alarm 6e-7).
    unlike = [one.bit ^ other.bit for one, other in pairs if one.basis != other.basis]
    assert abs(sum(unlike) - len(unlike) / 2) < 5 * sqrt(len(unlike)) / 2
    check_nothing_is_left(bench)


def test_users_of_a_chsh_create_violate_bells_inequality_by_as_much_as_quantum_mechanics_allows() -> None:
    bench = CreateBench(22)
    bench.create(
        "b",
        count=2_000,
        kind="measure",
        local=BasisChoice(random="CHSH", first=128),
        remote=BasisChoice(random="XZ", first=128),
    )
    bench.run(6_000 * MS)
    pairs = joined(bench)
    assert len(pairs) == 2_000
    products: dict[tuple[Basis, Basis], list[float]] = {}
    for one, other in pairs:
        # Bits of Psi+ and Psi- are brought to those of Phi+: X flips with bit 0 of the frame, Z with bit 1.
        assert one.basis in ("X", "Z")
        assert other.basis in ("Z+45", "Z-45")
        value = (-1.0) ** (one.bit + other.bit)
        sign = correlation(one.basis, other.basis, one.frame) * sqrt(2)
        expected = correlation(one.basis, other.basis, 0) * sqrt(2)
        products.setdefault((one.basis, other.basis), []).append(value * sign * expected)
    means = {bases: float(np.mean(values)) for bases, values in products.items()}
    value = means["X", "Z+45"] + means["Z", "Z+45"] + means["Z", "Z-45"] - means["X", "Z-45"]
    # About 500 pairs each of variance 1/2: standard error sqrt(4 / 1000) = 0.063. Five of them.
    assert abs(value - 2 * sqrt(2)) < 5 * sqrt(4 * 0.5 / 450)
    assert value > 2.0 + 5 * 0.063
