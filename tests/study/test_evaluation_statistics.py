"""Intervals and verdicts: coverage on made-up networks, and every claim decided by the right end.

Sample sizes and false-alarm rates stand beside each statistical check; seeds are fixed.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from scipy import stats

from bellwire.study.evaluation import Evaluated, Row
from bellwire.study.evaluation_claims import JAM_INTERVALS, Verdict, verdicts
from bellwire.study.evaluation_jobs import ChainSetting, Setting, Stock
from bellwire.study.evaluation_policies import POLICIES
from bellwire.study.evaluation_statistics import (
    NETWORKS_MIN,
    Sample,
    mean,
    mean_difference,
    mean_paired_ratio,
    ratio_of_means,
)
from bellwire.study.experiments import DEFAULT, EXPERIMENTS, FULL, QUICK, experiments_named
from bellwire.study.figures import draw
from bellwire.study.report import report

SECONDS = 100.0


def pairs(*counts: tuple[int, int]) -> list[list[tuple[Sample, Sample]]]:
    """One route a network."""
    return [[(Sample(one, SECONDS), Sample(other, SECONDS))] for one, other in counts]


# --- statistics -------------------------------------------------------------------------------------------


def test_the_two_ratios_are_what_they_are_called() -> None:
    groups = pairs((1000, 500), (1000, 1000), (10, 10), (10, 10), (40, 10))
    by_means = ratio_of_means(groups)
    assert by_means is not None
    assert by_means.value == pytest.approx(2060 / 1530)
    paired = mean_paired_ratio(groups)
    assert paired is not None
    ratios = [1000.5 / 500.5, 1.0, 1.0, 1.0, 40.5 / 10.5]
    assert paired.value == pytest.approx(np.prod(ratios) ** 0.2)


def test_policies_that_always_deliver_alike_have_an_interval_of_no_width() -> None:
    found = mean_paired_ratio(pairs((7, 7), (500, 500), (20, 20), (3, 3), (90, 90)))
    assert found is not None
    assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)


def test_few_networks_have_no_interval() -> None:
    few = mean([[1.0], [2.0], [3.0], [4.0]])
    enough = mean([[1.0], [2.0], [3.0], [4.0], [5.0]])
    assert few is not None
    assert enough is not None
    assert len([[1.0]] * NETWORKS_MIN) == 5
    assert (few.low, few.high) == (None, None)
    assert enough.low is not None


def test_nothing_at_all_has_no_estimate() -> None:
    assert mean([]) is None
    assert mean([[], []]) is None
    assert mean_paired_ratio([]) is None
    assert ratio_of_means(pairs((5, 0), (6, 0))) is None
    finite = mean_paired_ratio(pairs((5, 0), (6, 0)))
    assert finite is not None
    assert np.isfinite(finite.value)


@pytest.mark.parametrize("networks", [6, 10, 40])
def test_intervals_cover_the_truth_as_often_as_they_say(networks: int) -> None:
    """400 samples of normal numbers, truth 0: coverage within 91..98.5 %. A true coverage of 95 % leaves this
    with probability 2e-4 a side (binomial); plain percentiles of six networks cover about 87 %."""
    chance = np.random.default_rng(networks)
    covered = 0
    for _ in range(400):
        found = mean([[float(one)] for one in chance.normal(size=networks)])
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.0 <= found.high
    assert 0.91 <= covered / 400 <= 0.985


def test_an_interval_of_normal_numbers_is_about_that_of_the_t_distribution() -> None:
    values = np.random.default_rng(5).normal(3.0, 2.0, size=30)
    found = mean([[float(one)] for one in values])
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    half = stats.t.ppf(0.975, 29) * values.std(ddof=1) / np.sqrt(30)
    assert found.high - found.low == pytest.approx(2.0 * half, rel=0.1)


def test_routes_of_one_network_count_as_one_draw() -> None:
    """Copies of a network's route add nothing: the interval stays as wide."""
    values = [1.0, 2.0, 4.0, 3.0, 7.0, 5.0]
    single, copied = mean([[one] for one in values]), mean([[one] * 9 for one in values])
    assert single is not None
    assert copied is not None
    assert (single.low, single.high) == (copied.low, copied.high)
    assert (single.routes, copied.routes) == (6, 54)


def test_a_difference_is_paired() -> None:
    """What both policies share on a network cancels."""
    chance = np.random.default_rng(1)
    shared = chance.normal(0.0, 100.0, size=20)
    found = mean_difference([[(float(one) + 0.5, float(one))] for one in shared])
    assert found is not None
    assert found.low == pytest.approx(0.5)
    assert found.high == pytest.approx(0.5)


# --- claims -----------------------------------------------------------------------------------------------

RATES: dict[str, float] = {
    "fixed_tree": 10.0,
    "strongest_tree": 12.0,
    "score": 13.0,
    "oldest": 11.0,
    "longest_hop": 11.0,
    "centralised": 8.0,
    "connectionless": 5.0,
    "connectionless_weak": 4.0,
}
"""A world in which everything that the paper claims is true."""


def made_up(
    rates: dict[str, float],
    experiment: str = "fig6",
    *,
    noise: float = 0.02,
    change: dict[str, dict[str, Any]] | None = None,
) -> Evaluated:
    """Rows of every data point with these rates; `change`: columns by policy."""
    wanted = experiments_named(experiment, QUICK)
    chance = np.random.default_rng(3)
    by_setting: dict[tuple[Setting, Stock | None], tuple[Row, ...]] = {}
    for point in wanted[0].points:
        hops = point.setting.hops if isinstance(point.setting, ChainSetting) else 3
        rows = [
            {
                "policy": policy,
                "seed": seed,
                "route_index": 0,
                "route": "a-b",
                "hops": hops,
                "duration_s": SECONDS,
                "delivered": delivered,
                "rate_hz": delivered / SECONDS,
                "longest_gap_s": 5.0 / rate,
                "fidelity": 0.95 + 0.0001 * point.value if point.axis == "nodes" else 0.96,
                "frame_errors": 0,
                **(change or {}).get(policy, {}),
            }
            for seed in range(12)
            for policy, rate in rates.items()
            for delivered in [round(rate * SECONDS * float(np.exp(chance.normal(0.0, noise))))]
        ]
        by_setting.setdefault((point.setting, None), tuple(rows))
    return Evaluated(
        experiments=wanted,
        policies=tuple(POLICIES[name] for name in rates),
        effort=QUICK,
        rows=tuple(row for rows in by_setting.values() for row in rows),
        by_setting=by_setting,
    )


def outcomes(seen: Evaluated) -> dict[str, str]:
    return {one.claim: one.outcome for one in verdicts(seen)}


def the(seen: Evaluated, words: str) -> Verdict:
    """The verdict with these words; of claims that others continue, the shortest."""
    return min((one for one in verdicts(seen) if words in one.claim), key=lambda one: len(one.claim))


def test_every_claim_passes_where_all_of_them_are_true() -> None:
    assert set(outcomes(made_up(RATES)).values()) == {"pass"}
    assert the(made_up(RATES, "chains"), "strongest tree on chains").outcome == "fail"
    better = {**RATES, "score": 14.5}
    assert set(outcomes(made_up(better, "chains")).values()) == {"pass"}


@pytest.mark.parametrize(
    ("policy", "rate", "words"),
    [
        ("score", 11.7, "beats the rate-matched tree"),
        ("strongest_tree", 13.3, "as good as the strongest tree"),
        ("connectionless", 9.0, "in its strong form in the default network"),
        ("connectionless", 7.0, ", routes of 3 and more links"),
        ("connectionless", 7.0, "in the default network (strong form)"),
        ("connectionless_weak", 7.0, "in the default network (losses"),
        ("oldest", 9.9, "oldest improves over the fixed tree"),
        ("longest_hop", 9.0, "longest hop improves over the fixed tree"),
        ("centralised", 10.3, "ledger at one place"),
        ("oldest", 13.5, "at no data point below"),
    ],
)
def test_a_claim_fails_where_it_is_false(policy: str, rate: float, words: str) -> None:
    assert the(made_up({**RATES, policy: rate}), words).outcome == "fail"


def test_the_near_end_of_the_interval_decides_and_not_the_value() -> None:
    """A ratio of 1.2 with a scatter of half of it over twelve networks proves nothing."""
    found = the(made_up({**RATES, "score": 12.4}, noise=0.5), "beats the rate-matched tree")
    assert found.found is not None
    assert found.found.low is not None
    assert found.found.low < 1.18
    assert found.outcome == "fail"


def test_what_was_not_run_is_not_measured() -> None:
    rates = {name: RATES[name] for name in ("fixed_tree", "score")}
    found = outcomes(made_up(rates))
    assert found["score beats the rate-matched tree in the default network"] == "pass"
    assert found["score is as good as the strongest tree in the default network"] == "not measured"
    assert (
        found["paper: a ledger at one place is worse than the fixed tree in the default network"]
        == "not measured"
    )


def test_one_long_silence_is_a_jam_even_where_the_rate_is_good() -> None:
    silent = {"score": {"longest_gap_s": (JAM_INTERVALS + 1.0) / RATES["fixed_tree"] * 1.1}}
    assert the(made_up(RATES, change=silent), "never jams").outcome == "fail"
    assert the(made_up(RATES), "never jams").outcome == "pass"


def test_runs_too_short_to_show_a_jam_do_not_count() -> None:
    slow = {name: rate / 100.0 for name, rate in RATES.items()}
    assert the(made_up(slow), "never jams").outcome == "not measured"


def test_a_loss_of_fidelity_beyond_the_allowance_fails() -> None:
    assert (
        the(made_up(RATES, change={"score": {"fidelity": 0.954}}), "less that of the rate").outcome == "fail"
    )


def test_one_wrong_frame_fails() -> None:
    assert the(made_up(RATES, change={"oldest": {"frame_errors": 1}}), "Bell state").outcome == "fail"


def test_the_report_has_every_claim_both_baselines_and_the_sizes() -> None:
    seen = made_up(RATES)
    text = report(seen, verdicts(seen), "bellwire evaluate fig6", {"fig6": "fig6.png"})
    assert text.count("| pass |") == len(verdicts(seen))
    for words in ("x rate-matched tree", "x strongest tree", "fig6.png", "| networks / routes | 12 / 12 |"):
        assert words in text
    assert DEFAULT in {setting for setting, _ in seen.by_setting}
    assert "| links of the route, in the default network | 3 |" in text
    assert "| score, x strongest tree | 1.0" in text.split("| links of the route, in the default network")[1]


def test_stores_at_one_setting_are_drawn_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From none over once to filled again, whatever the order of the experiment; policies beside another."""
    drawn: dict[str, tuple[list[float], list[float]]] = {}
    errorbar = Axes.errorbar

    def noted(panel: Axes, x: Any, y: Any, *args: Any, **look: Any) -> Any:
        drawn[look["label"]] = (list(x), list(y))
        return errorbar(panel, x, y, *args, **look)

    monkeypatch.setattr(Axes, "errorbar", noted)
    experiment = EXPERIMENTS["predistribution"](FULL)
    (point,) = experiment.points
    latencies = {"none": 0.4, "one_time": 0.2, "continuous": 0.1}
    by_setting: dict[Any, tuple[Row, ...]] = {
        (point.setting, stock): tuple(
            {"policy": policy, "seed": seed, "route_index": 0, "latency_mean_s": latency * factor}
            for policy, factor in (("score", 1.0), ("swap_asap", 2.0))
            for seed in range(6)
        )
        for stock, latency in latencies.items()
    }
    policies = tuple(POLICIES[name] for name in ("score", "swap_asap"))
    seen = Evaluated(
        experiments=(experiment,), policies=policies, effort=FULL, rows=(), by_setting=by_setting
    )
    draw(seen, experiment, tmp_path / "stores.png")
    assert (tmp_path / "stores.png").read_bytes().startswith(b"\x89PNG")
    assert drawn["score"][1] == pytest.approx([0.4, 0.2, 0.1])
    assert drawn["swap at once"][1] == pytest.approx([0.8, 0.4, 0.2])
    places = sorted(drawn["score"][0] + drawn["swap at once"][0])
    assert [round(place) for place in places] == [0, 0, 1, 1, 2, 2]
    assert len(set(places)) == 6


def test_one_setting_is_drawn_as_one_line_a_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, int]] = []
    errorbar = Axes.errorbar

    def noted(panel: Axes, x: Any, y: Any, *args: Any, **look: Any) -> Any:
        drawn.append((round(float(x[0]), 3), int(y[0])))
        return errorbar(panel, x, y, *args, **look)

    monkeypatch.setattr(Axes, "errorbar", noted)
    seen = made_up(RATES, "default", noise=0.0)
    draw(seen, seen.experiments[0], tmp_path / "default.png")
    assert (tmp_path / "default.png").read_bytes().startswith(b"\x89PNG")
    places = {policy.name: place for place, policy in enumerate(seen.policies)}
    ratios = {base: RATES["score"] / RATES[base] for base in ("fixed_tree", "strongest_tree")}
    for base, ratio in ratios.items():
        assert any(place == places["score"] and abs(x - ratio) < 0.01 for x, place in drawn), base
    assert drawn.count((1.0, places["fixed_tree"])) == 1
    assert len(drawn) == 2 * len(RATES)
