"""`bellwire tags coincidences`, `correlate` and `clock`: what they find, draw and refuse.

Statistical figures have fixed seeds; their bounds are 5 standard deviations, a false alarm of 6e-7 for each.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from bellwire.cli.tags_peak import peak_of, told_peak
from bellwire.drivers.time_tags import TagBlock
from tests.cli.tagging import PNG, pairs_in, refused, run, stream, told, wrote


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    return pairs_in(tmp_path)


# --- coincidences, correlate --------------------------------------------------------------------------------


def test_coincidences_are_those_that_a_plain_comparison_finds(tmp_path: Path) -> None:
    """1000 tags of three channels in a microsecond: every pair of tags is compared."""
    chance = np.random.default_rng(3)
    times, channels = chance.integers(0, 10**6, 1000), chance.integers(1, 4, 1000).astype(np.int16)
    path = wrote(tmp_path / "a", stream(times, channels))
    found = told(
        "coincidences", path, "--pattern", "1,2", "--pattern", "1,2,3", "--window-ps", 800, "--delay", "2=-50"
    )
    first, second, third = (times[channels == number] for number in (1, 2, 3))
    low, high = 400, int(times.max()) - 500  # away from the ends, where partners may be missing
    near_second = np.abs(first[:, None] - (second - 50)[None, :]) <= 400
    near_third = np.abs(first[:, None] - third[None, :]) <= 400
    inside = (first >= low) & (first <= high)
    two = int((near_second.any(axis=1) & inside).sum())
    three = int((near_second.any(axis=1) & near_third.any(axis=1) & inside).sum())
    edges = int((~inside).sum())
    by_pattern = {tuple(one["pattern"]): one for one in found["patterns"]}
    assert two <= by_pattern[(1, 2)]["coincidences"] <= two + edges
    assert three <= by_pattern[(1, 2, 3)]["coincidences"] <= three + edges
    assert edges < 5 < three
    assert by_pattern[(1, 2, 3)]["accidentals"] is None


def test_a_tagger_that_has_run_for_weeks_is_counted_like_a_new_one(tmp_path: Path) -> None:
    """46 days of picoseconds before the first tag are more than the engine itself takes."""
    start = 4 * 10**18
    times = start + np.array([100, 150, 900], np.int64)
    late = TagBlock(
        0, start, start + 2000, times, np.array([1, 2, 1], np.int16), ((start + 1500, start + 1600),)
    )
    found = told("coincidences", wrote(tmp_path / "a", late), "--pattern", "1,2", "--window-ps", 100)
    assert found["patterns"][0]["coincidences"] == 1
    assert found["live_s"] + found["discarded_s"] == pytest.approx(2000e-12)
    assert found["live_s"] == pytest.approx((2000 - 100 - 200) * 1e-12)


def test_accidentals_of_unrelated_light_are_its_coincidences(tmp_path: Path) -> None:
    """Two channels of 50,000 unrelated tags in a second, window 2 us: 5000 pairs expected."""
    chance = np.random.default_rng(5)
    times = chance.integers(0, 10**12, 100_000)
    path = wrote(tmp_path / "a", stream(times, np.repeat([1, 2], 50_000).astype(np.int16)))
    (found,) = told("coincidences", path, "--pattern", "1,2", "--window-ps", 2_000_000)["patterns"]
    assert found["accidentals"] == pytest.approx(5000, rel=0.001)
    assert abs(found["combinations"] - 5000) < 5 * 5000**0.5


def test_correlate_finds_the_delay_the_jitter_and_the_pairs(pairs_file: Path, tmp_path: Path) -> None:
    """20,000 pairs at 2500 ps with a jitter of 300 ps, above 40,000^2 * 100 ps / 1 s = 0.16
    accidental ones in a bin."""
    found = told("correlate", pairs_file, "--start", 1, "--stop", 2, "--plot", tmp_path / "c.png")
    peak = found["peak"]
    assert abs(peak["at_ps"] - 2500) < 5 * peak["at_sigma_ps"]
    assert peak["at_sigma_ps"] == pytest.approx(300 / 20_000**0.5, rel=0.1)
    assert abs(peak["sigma_ps"] - 300) < 5 * peak["sigma_sigma_ps"]
    assert abs(peak["pairs"] - 20_000) < 5 * peak["pairs_sigma"]
    assert peak["pairs_sigma"] == pytest.approx(20_000**0.5, rel=0.1)
    assert peak["background_per_bin"] == pytest.approx(0.16, abs=5 * (0.16 / 1000) ** 0.5)
    assert (tmp_path / "c.png").read_bytes().startswith(PNG)
    assert sum(found["counts"]) >= 20_000
    assert "peak at 25" in run("correlate", pairs_file, "--start", 1, "--stop", 2).stdout
    moved = told("correlate", pairs_file, "--start", 1, "--stop", 2, "--delay", "2=-2500")["peak"]
    assert abs(moved["at_ps"]) < 5 * peak["at_sigma_ps"]


def test_unrelated_light_has_no_peak(tmp_path: Path) -> None:
    chance = np.random.default_rng(6)
    path = wrote(
        tmp_path / "a",
        stream(chance.integers(0, 10**12, 200_000), np.repeat([1, 2], 100_000).astype(np.int16)),
    )
    arguments = ("correlate", path, "--start", 1, "--stop", 2, "--range-ps", 500_000, "--bin-ps", 1000)
    assert told(*arguments)["peak"] is None
    assert "no peak" in run(*arguments).stdout


@pytest.mark.parametrize(
    ("at", "sigma", "flat"), [(33.3, 120.0, 50.0), (-700.0, 40.0, 0.0), (5.0, 12.0, 900.0)]
)
def test_fitted_values_scatter_as_their_errors_say(at: float, sigma: float, flat: float) -> None:
    """80 histograms of 5000 pairs: each deviation over its error has a mean of 0 +- 0.11 and a variance of
    1 +- 0.16; bounds of 5 of these."""
    chance = np.random.default_rng(7)
    edges = np.arange(-2000, 2001, 20)
    deviations = []
    for _ in range(80):
        delays = np.rint(chance.normal(at, sigma, 5000)).astype(np.int64)
        counts = np.histogram(delays, edges)[0] + chance.poisson(flat, len(edges) - 1)
        found = peak_of(edges, counts)
        assert found is not None
        peak = told_peak(found)
        truth = (
            (peak["at_ps"], peak["at_sigma_ps"], at),
            (peak["sigma_ps"], peak["sigma_sigma_ps"], (sigma**2 + 1 / 12) ** 0.5),
        )
        deviations.append([(value - true) / error for value, error, true in truth])
        assert abs(peak["pairs"] - 5000) < 6 * peak["pairs_sigma"]
    means, variances = np.mean(deviations, axis=0), np.var(deviations, axis=0)
    assert np.all(np.abs(means) < 5 * 0.11)
    assert np.all(np.abs(variances - 1) < 5 * 0.16)


def test_wrong_patterns_delays_and_bins_are_refused(pairs_file: Path) -> None:
    assert "two or more different channels" in refused("coincidences", pairs_file, "--pattern", "1,1")
    assert "two or more different channels" in refused("coincidences", pairs_file, "--pattern", "1")
    assert "channel 5 is in no pattern" in refused(
        "coincidences", pairs_file, "--pattern", "1,2", "--delay", "5=3"
    )
    assert "limit" in refused(
        "correlate", pairs_file, "--start", 1, "--stop", 2, "--bin-ps", 1, "--range-ps", 10**9
    )
    assert "ps" in refused("correlate", pairs_file, "--start", 1, "--stop", 2, "--delay", f"1={1 << 60}")


# --- clock --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two seconds of 20,000 pairs per second among 60,000 tags per second at both places. The clock of the
    second is 321,098,765 ps behind and loses 2 parts in 10^8; joint jitter 200 ps."""
    folder = tmp_path_factory.mktemp("clock")
    chance = np.random.default_rng(30)
    emitted = np.sort(chance.integers(10**9, 2 * 10**12, 40_000))
    here = np.concatenate([emitted, chance.integers(10**9, 2 * 10**12, 80_000)])
    there = np.concatenate(
        [
            emitted + np.rint(chance.normal(0, 200, 40_000)).astype(np.int64),
            chance.integers(10**9, 2 * 10**12, 80_000),
        ]
    )
    told_there = there - 321_098_765 - np.rint(there * 2e-8).astype(np.int64)
    paths = folder / "here.parquet", folder / "there.ptu"
    wrote(paths[0], stream(here, np.full(len(here), 1, np.int16)))
    wrote(paths[1], stream(told_there, np.full(len(there), 2, np.int16)), name="ptu")
    return paths


def test_clock_finds_offset_rate_and_jitter(two_places: tuple[Path, Path], tmp_path: Path) -> None:
    found = told("clock", *two_places, "--oscillator", "rubidium", "--plot", tmp_path / "k.png")
    assert found["found"]
    true_ps = 321_098_765 + (found["at_ps"] + 321_098_765) * 2e-8
    assert abs(found["offset_ps"] - true_ps) < 5 * found["sigma_ps"] + 1
    assert found["sigma_ps"] < 10
    assert abs(found["rate_e15"] - 2e7) < 5 * found["sigma_rate_e15"] + 1
    assert found["jitter_ps"] == pytest.approx(200, rel=0.1)
    assert found["pairs"] == pytest.approx(40_000, rel=0.05)
    assert (tmp_path / "k.png").read_bytes().startswith(PNG)
    assert "joint jitter" in run("clock", *two_places, "--oscillator", "rubidium").stdout


def test_files_without_common_pairs_have_no_clock(two_places: tuple[Path, Path], tmp_path: Path) -> None:
    chance = np.random.default_rng(31)
    other = wrote(
        tmp_path / "other",
        stream(np.sort(chance.integers(0, 2 * 10**12, 100_000)), np.ones(100_000, np.int16)),
    )
    ran = run("clock", two_places[0], other, "--oscillator", "oven", "--json")
    assert ran.exit_code == 1
    document = json.loads(ran.stdout)
    assert document["found"] is False
    assert document["reason"]
    assert run("clock", two_places[0], other, "--oscillator", "oven").stderr.count("\n") == 1


def test_clock_refuses_unknown_oscillators_and_empty_choices(two_places: tuple[Path, Path]) -> None:
    assert "is no kind of oscillator" in refused("clock", *two_places, "--oscillator", "sundial")
    assert "0 tags of the chosen channels" in refused(
        "clock", *two_places, "--oscillator", "oven", "--file-channels", "9"
    )
    assert "--reference-channels and --expected-ps" in refused(
        "clock", *two_places, "--oscillator", "oven", "--expected-ps", 10**15
    )
