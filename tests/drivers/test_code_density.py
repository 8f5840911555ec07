"""Code density against closed forms, and against an emulated board whose bins are uneven."""

from __future__ import annotations

import math
import random

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.code_density import fine_table, nonlinearity, rms_error
from bellwire.drivers.herald_settings import HeraldSettings
from bellwire.simulator_backend.devices.herald_clock import HeraldHardware
from tests.drivers.desk import BOOT_NS, SETTINGS, a_desk

WIDTHS = (4, 1, 1, 2, 2, 2, 2, 2)
UGLY = (8, 1, 1, 1, 1, 1, 1, 2)


def test_even_bins_need_no_table() -> None:
    for bits in range(9):
        counts = [2000] * (1 << bits)
        assert fine_table(counts) == tuple(range(1 << bits))
        assert nonlinearity(counts) == ((0.0,) * len(counts), (0.0,) * len(counts))


def test_uneven_bins_have_the_nonlinearity_of_their_widths() -> None:
    differential, integral = nonlinearity([width * 1000 for width in WIDTHS])
    assert differential == (1.0, -0.5, -0.5, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert integral == (0.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_each_raw_code_becomes_the_bin_that_holds_its_middle() -> None:
    # Middles in even bins of 2: 1, 2.25, 2.75, 3.5, 4.5 and so on.
    assert fine_table([width * 1000 for width in WIDTHS]) == (1, 2, 2, 3, 4, 5, 6, 7)


def test_the_error_of_even_bins_is_that_of_a_uniform_distribution() -> None:
    assert rms_error((1.0,) * 8, range(8)) == pytest.approx(1 / math.sqrt(12), rel=1e-12)


@pytest.mark.parametrize("counts", [[], [9999] * 3, [999] * 8])
def test_a_table_from_too_little_is_refused(counts: list[int]) -> None:
    with pytest.raises(LocalMisuse):
        fine_table(counts)


async def test_a_board_with_uneven_bins_is_straightened_by_its_own_counts() -> None:
    """100 000 even edges: the width of the smallest bin (6250) is known to 1.3 %, far from a change of code.

    The error of 20 000 further edges is within 1 % of the closed form: its standard error is below 0.5 %, so
    2 standard errors; the seed is fixed.
    """
    chance = random.Random(7)
    async with a_desk(HeraldHardware(fine_widths=UGLY)) as desk:
        at_ns = BOOT_NS + 1000

        def edge() -> float:
            """One edge at channel 0, and how far its stamp lies from its time, in fine units."""
            nonlocal at_ns
            at_ns += 1000
            at_ps = at_ns * 1000 + chance.randrange(8000)
            desk.core.hit(0, at_ps, at_ns)
            stamp = int(desk.core.run.engine.last_stamp(0))
            return stamp - (at_ps - desk.core.clock.zero_ns * 1000) / 1000

        async def error() -> float:
            errors = [edge() for _ in range(20_000)]
            mean = sum(errors) / len(errors)
            return math.sqrt(sum((one - mean) ** 2 for one in errors) / len(errors))

        settings: HeraldSettings = SETTINGS
        await desk.driver.configure(settings)
        even = [width / 2 for width in UGLY]
        raw = await error()
        assert raw == pytest.approx(rms_error(even, range(8)), rel=0.01)
        for _ in range(80_000):
            edge()
        desk.now_ns = at_ns
        table = fine_table(await desk.driver.measure_code_density())
        assert table == (2, 4, 4, 5, 5, 6, 6, 7)
        await desk.driver.configure(HeraldSettings(link_period_ns=1_000_000, fine_table=table))
        straight = await error()
        assert straight == pytest.approx(rms_error(even, table), rel=0.01)
        assert straight < 0.85 * raw
