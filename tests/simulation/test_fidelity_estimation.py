"""Fidelity estimation in virtual time, against the World's truth that no machine is told.

Every link believes what its lab file says; the World is changed behind its back. All machines run.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from bellwire.core.bell import Bell, permute, werner
from bellwire.core.effects import Report
from bellwire.core.link_messages import LinkFigures
from bellwire.core.photonics import CODE_PSI_PLUS, HeraldOutcome, HeraldPhysics, herald_index
from bellwire.core.settings import EstimationSettings
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile
from bellwire.link_layer.link_end import LinkEnd
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost

BELIEVED = 0.95


def lab_of(links: dict[str, dict[str, Any]], memory: dict[str, Any], **more: Any) -> Lab:
    """Links side by side, each with a request of its own that measures what it gets."""
    nodes: dict[str, Any] = {}
    requests: list[dict[str, Any]] = []
    for name, link in links.items():
        one, two = link["nodes"] = (f"{name}_a", f"{name}_b")
        nodes[one] = nodes[two] = {"role": "end", "memory": memory}
        asked = {"id": f"r_{name}", "from": one, "to": two, "duration_s": 1e5, "consumption": "measure"}
        requests.append(asked | link.pop("asked", {}))
    return build_lab(
        LabFile.model_validate(
            {"lab": "tested", "nodes": nodes, "links": links, "requests": tuple(requests), **more}
        )
    )


def textbook_links(count: int, share: float) -> dict[str, dict[str, Any]]:
    """Links of two lanes that succeed with 0.05 every 100 us: some 1000 heralds in a second."""
    return {
        f"l{number:02}": {
            "lanes": 2,
            "attempt": {"period_us": 100, "success_probability": 0.05, "fidelity": BELIEVED},
            "test_share": share,
            "length_km": 2.0,
        }
        for number in range(count)
    }


MEMORY = {"t1_s": None, "t2_s": 0.5, "readout_fidelity": 0.985, "bsm_duration_us": 0}


def host_of(lab: Lab, seed: int) -> VirtualHost:
    host = VirtualHost(lab, seed, partial(compute_plan, lab.network))
    host.start()
    return host


def side_0(host: VirtualHost, link: str) -> LinkEnd:
    machine = host.machines[host.network.links[link].nodes[0]]
    assert isinstance(machine, QuantumNode)
    return machine.links.ends[link]


def figures_of(host: VirtualHost, link: str) -> LinkFigures:
    return side_0(host, link).figures()[0]


def give(host: VirtualHost, link: str, relative: Bell) -> None:
    """The link's pairs are in this state, relative to Psi+, from now on."""
    outcome = HeraldOutcome(CODE_PSI_PLUS, 1.0, permute(relative, herald_index(CODE_PSI_PLUS)))
    host.bindings.change_link(link, outcomes=(outcome,))


def asymmetric(chance: np.random.Generator, fidelity: float) -> Bell:
    one, two, three = chance.dirichlet((0.5, 0.5, 0.5)) * (1.0 - fidelity)
    return (fidelity, float(one), float(two), float(three))


def run_until(host: VirtualHost, enough: Callable[[], bool], step_ns: int, limit_ns: int) -> None:
    until_ns = host.clock.now_ns
    while not enough():
        until_ns += step_ns
        assert until_ns <= limit_ns, "it takes longer than it should"
        host.run(until_ns)


def test_the_intervals_of_many_links_cover_the_worlds_truth() -> None:
    """100 links, each true state drawn anew: asymmetric, F between 0.8 and 1, every tenth perfect, and a
    table that says 0.95 of all. Some 150 tests each. A coverage of 95 % fails with probability 1e-5."""
    lab = lab_of(textbook_links(100, 0.9), MEMORY)
    host = host_of(lab, 5)
    chance = np.random.default_rng(5)
    truths: dict[str, float] = {}
    for number, link in enumerate(lab.network.links):
        truths[link] = 1.0 if number % 10 == 0 else float(chance.uniform(0.8, 1.0))
        give(host, link, asymmetric(chance, truths[link]))
    host.run(round(0.17 * NS_PER_S))
    found = {link: figures_of(host, link) for link in truths}
    assert min(one.tested for one in found.values()) > 20
    assert np.mean([one.tested for one in found.values()]) > 100
    covered = sum(one.fidelity_low <= truths[link] <= one.fidelity_high for link, one in found.items())
    assert covered >= stats.binom.ppf(1e-5, len(truths), 0.95)
    widths = [one.fidelity_high - one.fidelity_low for one in found.values()]
    assert np.mean(widths) < 0.2, "the intervals say something"


def test_readout_and_storage_until_the_measurement_are_taken_off() -> None:
    """A link of 40 km whose heralds take 100 us, memories of T2 = 2 ms and bad readout: what is measured is
    far worse than the pairs are at birth, and the interval is about the birth."""
    link = {
        "station": "m",
        "fibre_km": (20, 20),
        "lanes": 4,
        "architecture": "single_click",
        "alpha": (0.1, 0.1),
        "attempt_period_us": 220,
        "test_share": 0.9,
        "estimation": {"table_worth": 1},
    }
    memory = MEMORY | {"t2_s": 0.002, "readout_fidelity": 0.97, "emission_efficiency": 1.0}
    lab = lab_of({"far": link}, memory, stations={"m": {"detectors": {"dark_rate_hz": 10}}})
    host = host_of(lab, 6)
    links, _ = lab.world()
    truth = HeraldPhysics(links[0].success_probability, links[0].outcomes)
    host.run(round(1500 / 4 / truth.success_probability) * 220_000)
    figures = figures_of(host, "far")
    assert figures.tested > 1000
    assert figures.fidelity_low <= truth.fidelity <= figures.fidelity_high
    assert abs(figures.fidelity - truth.fidelity) < figures.fidelity_high - figures.fidelity_low
    raw = side_0(host, "far").estimation.points[0].tally.pooled()
    uncorrected = 1.0 - sum(one.errors / one.tests for one in raw.bases) / 2.0
    assert uncorrected < figures.fidelity_low - 0.03, "without the correction the truth is missed by far"
    assert abs(figures.success_probability - truth.success_probability) < 4.0 * figures.success_error


class Fallen:
    """Twelve links at 0.95 fall to 0.92 after 2500 tests or more each."""

    def __init__(self) -> None:
        lab = lab_of(textbook_links(12, 0.95), MEMORY | {"readout_fidelity": 1.0, "t2_s": None})
        self.host = host_of(lab, 7)
        self.early: list[Report] = []
        self.drifts: dict[str, Report] = {}  # the first of each link after the fall
        self.noticed: dict[str, int] = {}  # tests from the fall to that
        self._changed_ns: int | None = None
        self.links = list(lab.network.links)
        self.host.reports.append(self._heard)
        run_until(self.host, lambda: min(self.joined().values()) > 2500, NS_PER_S // 4, 10 * NS_PER_S)
        self.before = self.joined()
        self._changed_ns = self.host.clock.now_ns
        for link in self.links:
            give(self.host, link, werner(0.92))
        until_ns = self._changed_ns + 8 * NS_PER_S
        run_until(self.host, lambda: len(self.noticed) == len(self.links), NS_PER_S // 4, until_ns)

    def joined(self) -> dict[str, int]:
        return {link: side_0(self.host, link).counters["tests_joined"] for link in self.links}

    def _heard(self, now_ns: int, node: str, report: Report) -> None:
        if report.name != "link_fidelity_drifted":
            return
        link = str(report.fields["link"])
        if self._changed_ns is None:
            self.early.append(report)
        elif link not in self.noticed:
            self.drifts[link] = report
            self.noticed[link] = self.joined()[link] - self.before[link]

    @property
    def watched(self) -> list[str]:
        """Links without a false alarm before the fall; the others were still taking a new reference."""
        unwatched = {str(report.fields["link"]) for report in self.early}
        return [link for link in self.links if link not in unwatched]


@pytest.fixture(scope="module")
def fallen() -> Fallen:
    return Fallen()


@pytest.mark.slow
def test_a_drift_of_003_is_noticed_within_the_stated_number_of_tests(fallen: Fallen) -> None:
    """drift.py states 870 tests in the mean and 1850 for 95 of 100 links; references have errors of their
    own, hence a quarter more. Of 12 links and 33 000 tests 1.3 have a false alarm before; 5 or more with
    probability 0.01. Three of twelve links later than the 95 % have probability 0.02."""
    assert len(fallen.watched) >= 8
    noticed = [fallen.noticed[link] for link in fallen.watched]
    assert np.mean(noticed) < 1.25 * 870
    assert sum(tests > 1850 for tests in noticed) <= 2


def test_a_drift_is_reported_with_what_was_and_what_is(fallen: Fallen) -> None:
    for link in fallen.watched:
        fields = fallen.drifts[link].fields
        assert fields["direction"] == "fall"
        assert float(fields["fidelity_before"] or 0.0) == pytest.approx(0.95, abs=0.025)
        assert float(fields["fidelity_low"] or 0.0) < 0.92 < float(fields["fidelity_high"] or 0.0)
        assert figures_of(fallen.host, link).tested < fallen.before[link] + 1000, (
            "the old tests are forgotten"
        )


def test_delivered_pairs_carry_the_fidelity_that_the_link_has_learnt() -> None:
    """The file says 0.95, the World 0.85. Reports of the first pairs say the one, of the last the other."""
    lab = lab_of(textbook_links(1, 0.8), MEMORY | {"readout_fidelity": 1.0, "t2_s": None})
    host = host_of(lab, 8)
    told: list[float] = []

    def heard(now_ns: int, node: str, report: Report) -> None:
        if report.name == "pair_delivered":
            told.append(float(report.fields["fidelity"] or 0.0))

    host.reports.append(heard)
    give(host, "l00", werner(0.85))
    host.run(4 * NS_PER_S)
    assert len(told) > 200
    assert told[0] == pytest.approx(BELIEVED, abs=1e-6)
    assert np.mean(told[-50:]) == pytest.approx(0.85, abs=0.02)


def single_click_lab(fidelity_min: float) -> Lab:
    link = {
        "station": "m",
        "fibre_km": (2, 2),
        "lanes": 4,
        "architecture": "single_click",
        "attempt_period_us": 100,
        "operating_points": (
            {"name": "dim", "alpha": (0.03, 0.03)},
            {"name": "middle", "alpha": (0.08, 0.08)},
            {"name": "bright", "alpha": (0.2, 0.2)},
        ),
        "test_share": 0.3,
        "asked": {"fidelity_min": fidelity_min},
    }
    memory = MEMORY | {"emission_efficiency": 1.0, "conversion_efficiency": 1.0}
    return lab_of({"near": link}, memory, stations={"m": {"detectors": {"dark_rate_hz": 10}}})


def worse(physics: Iterable[HeraldPhysics], losses: tuple[float, ...]) -> tuple[HeraldPhysics, ...]:
    """Each point's pairs lose so much of their fidelity to a phase flip."""
    found: list[HeraldPhysics] = []
    for (success, outcomes), loss in zip(physics, losses, strict=True):
        bent: list[HeraldOutcome] = []
        for outcome in outcomes:
            state = list(outcome.state)
            index = herald_index(outcome.code)
            state[index] -= loss
            state[index ^ 1] += loss
            bent.append(HeraldOutcome(outcome.code, outcome.share, (state[0], state[1], state[2], state[3])))
        found.append(HeraldPhysics(success, tuple(bent)))
    return tuple(found)


def test_a_link_runs_at_the_fastest_point_that_gives_the_fidelity_and_finds_another_when_it_drifts() -> None:
    """0.90 is asked for; the file says 0.97, 0.94 and 0.86. From the change on the brighter two give
    0.07 less."""
    lab = single_click_lab(0.90)
    host = host_of(lab, 9)
    end = side_0(host, "near")
    host.run(NS_PER_S // 2)
    assert end.point_in_force() == 1
    assert end.figures()[1].tested > 50
    assert end.figures()[2].tested == 0
    links, _ = lab.world()
    before = end.counters["heralds"], end.counters["unusable"]
    host.bindings.change_link("near", points=worse(links[0].physics, (0.0, 0.07, 0.07)))
    run_until(host, lambda: end.point_in_force() == 0, NS_PER_S // 10, 20 * NS_PER_S)
    tested = end.figures()[1].tested
    host.run(host.clock.now_ns + NS_PER_S)
    assert end.point_in_force() == 0
    assert end.figures()[1].tested <= tested + 64, "at the point that was left only a batch is on its way"
    assert end.figures()[0].tested > 150
    heralds = end.counters["heralds"] - before[0]
    assert heralds > 500
    assert end.counters["unusable"] - before[1] <= 0.01 * heralds
    assert end.figures()[0].fidelity_low < 0.97 < end.figures()[0].fidelity_high


def test_one_seed_is_one_history_with_test_rounds_too() -> None:
    digests = set()
    for _ in range(2):
        host = host_of(lab_of(textbook_links(2, 0.5), MEMORY), 11)
        host.run(NS_PER_S // 5)
        digests.add(host.digest.hexdigest())
    assert len(digests) == 1


def test_a_lab_file_says_how_much_is_tested_and_what_drift_is_watched_for() -> None:
    keys = {"test_share": 0.2, "estimation": {"table_worth": 7, "drift": 0.05, "false_alarm_tests": 9000}}
    settings = lab_of({"l": textbook_links(1, 0.0)["l00"] | keys}, MEMORY).network.links["l"]
    assert settings.test_share == 0.2
    assert settings.estimation == EstimationSettings(table_worth=7, drift=0.05, false_alarm_tests=9000)
    for key, value in (("test_share", 1.0), ("test_share", -0.1), ("estimation", {"drift": 0.0})):
        with pytest.raises(ValidationError, match=key):
            lab_of({"l": textbook_links(1, 0.0)["l00"] | {key: value}}, MEMORY)
