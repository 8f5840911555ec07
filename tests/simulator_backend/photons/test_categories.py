"""The guide draws each outcome with its own chance, also where several share a cell of the guide.

Counts at 4 standard errors (false alarm 6e-5 each), seeds fixed.
"""

import numpy as np
import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.photons.categories import CELLS, Categories
from bellwire.simulator_backend.photons.samplers import lucky_pulses, steady_times
from tests.simulator_backend.photons.counting import within


def test_outcomes_come_in_proportion_though_many_are_narrower_than_a_cell():
    # 4e6 draws; outcomes 1..40 are a tenth of a cell wide, and one is impossible.
    narrow = 0.1 / CELLS
    chances = np.array([0.3, *[narrow] * 40, 0.0, 0.7 - 40 * narrow])
    counted = np.bincount(Categories(2.0 * chances).draw(4_000_000, np.random.default_rng(1)), minlength=43)
    for number, chance in zip(counted, chances, strict=True):
        within(number, 4e6 * chance, variance=4e6 * chance * (1.0 - chance))
    assert counted[41] == 0


def test_outcomes_follow_the_numbers_as_a_search_does():
    chances = np.random.default_rng(2).dirichlet(np.full(300, 0.1))
    numbers = np.random.default_rng(3).random(200_000)
    edges = np.cumsum(chances)
    searched = np.searchsorted(edges[:-1] / edges[-1], numbers, side="right")
    assert np.array_equal(Categories(chances).draw(200_000, np.random.default_rng(3)), searched)


def test_nothing_is_drawn_of_the_impossible_and_negative_chances_are_refused():
    assert Categories(np.empty(0)).total == 0.0
    with pytest.raises(LocalMisuse, match="impossible"):
        Categories(np.zeros(3)).draw(1, np.random.default_rng(1))
    with pytest.raises(LocalMisuse, match="none below 0"):
        Categories(np.array([0.5, -0.1]))


@pytest.mark.parametrize("chance", [1e-6, 0.01, 0.4, 1.0])
def test_lucky_pulses_are_independent_and_as_many_as_their_chance_says(chance):
    count = 2_000_000
    pulses = lucky_pulses(count, chance, np.random.default_rng(4))
    within(len(pulses), count * chance, variance=count * chance * (1.0 - chance))
    assert len(pulses) == 0 or (pulses[0] >= 0 and pulses[-1] < count and np.all(np.diff(pulses) > 0))
    # Of neighbours there are count p^2.
    neighbours = int(np.count_nonzero(np.diff(pulses) == 1))
    within(
        neighbours, count * chance**2, variance=count * chance**2 * (1.0 - chance) * (1.0 + 3.0 * chance) + 1
    )


def test_steady_times_are_a_poisson_process():
    times = steady_times(1e-6, 1e12, np.random.default_rng(5))
    within(len(times), 1e6)
    assert np.all(np.diff(times) >= 0)
    assert times[-1] < 1e12
    # Counts in 1e4 equal parts: variance equals mean (100) within 4 standard errors 100 sqrt(2/1e4).
    parts = np.bincount((times / 1e8).astype(int), minlength=10_000)
    assert abs(parts.var() - 100.0) < 4.0 * 100.0 * np.sqrt(2.0 / 1e4)
