"""Architectures, operating points and truths of links in lab files: what good and bad ones become."""

import json
from math import exp
from pathlib import Path

import pytest

from bellwire.core.bell import Walsh, fidelity_of
from bellwire.core.errors import ConfigError
from bellwire.core.photonics import double_click, windowed_visibility
from bellwire.labs import Lab, LabProblems, lab_from_document, lab_schema, load_lab

HEAD = """\
lab: light
nodes:
  alice: {role: end}
  bob: {role: end}
stations:
  mid: {}
links:
"""
DECAYING = "mid: {detectors: {photon_lifetime_ns: 10, visibility: 0.9}}"
SINGLE = (
    "  ab: {nodes: [alice, bob], station: mid, fibre_km: [5, 5], architecture: single_click, "
    "alpha: [0.1, 0.1]}\n"
)
DOUBLE = "  ab: {nodes: [alice, bob], station: mid, fibre_km: [5, 5]}\n"
SEND = "  ab: {nodes: [alice, bob], station: mid, fibre_km: [9, 0], architecture: sender_receiver}\n"
SOURCE = (
    "  ab: {nodes: [alice, bob], station: mid, fibre_km: [5, 5], architecture: midpoint_source, "
    "source: {mean_pair_number: 0.1}}\n"
)


def lab_of(folder: Path, link: str, head: str = HEAD, *, live: bool = False) -> Lab:
    path = folder / "lab.yaml"
    path.write_text(head + link, encoding="utf-8")
    return load_lab(path, live=live)


def with_key(link: str, key: str) -> str:
    return link.replace("}\n", f", {key}}}\n")


@pytest.mark.parametrize(
    ("link", "architecture", "click_ns", "herald_ns", "period_ns"),
    [
        (DOUBLE, "double_click", 25_000, (25_000, 25_000), 60_000),
        (SINGLE, "single_click", 25_000, (25_000, 25_000), 60_000),
        (SEND, "sender_receiver", 45_000, (45_000, 0), 100_000),
        (SOURCE, "midpoint_source", 50_000, (25_000, 25_000), 85_000),
    ],
)
def test_each_architecture_reaches_the_nodes_with_its_own_times(
    link: str,
    architecture: str,
    click_ns: int,
    herald_ns: tuple[int, int],
    period_ns: int,
    tmp_path: Path,
) -> None:
    found = lab_of(tmp_path, link).network.links["ab"]
    assert (found.architecture, found.points) == (architecture, ())
    assert (found.click_delay_ns, found.herald_delay_ns) == (click_ns, herald_ns)
    assert found.period_ns == period_ns
    assert [herald.code for herald in found.heralds] == ([1, 2] if "click" in architecture else [1])


def test_messages_of_a_station_at_the_receiver_are_there_at_once(tmp_path: Path) -> None:
    delays = lab_of(tmp_path, SEND).network.delays_ns
    assert (delays["mid"]["bob"], delays["mid"]["alice"], delays["alice"]["bob"]) == (0, 45_000, 45_000)


def test_either_node_may_be_the_sender(tmp_path: Path) -> None:
    turned = with_key(SEND, "sender: bob").replace("[9, 0]", "[0, 9]")
    one, other = (lab_of(tmp_path, link).network.links["ab"] for link in (SEND, turned))
    assert other.herald_delay_ns == (0, 45_000)
    assert (one.success_probability, one.heralds) == (other.success_probability, other.heralds)


def test_the_sender_emits_and_the_receiver_stores(tmp_path: Path) -> None:
    """s = emission x conversion (sender) x fibre x conversion x absorption x herald (receiver)."""
    able = "bob: {role: end, memory: {emission_efficiency: 0.7, absorption_efficiency: 0.8}}"
    head = HEAD.replace("bob: {role: end}", able)
    turned = with_key(SEND, "sender: bob").replace("[9, 0]", "[0, 9]")
    fibre = 10 ** (-0.2 * 9 / 10)
    for link, emission, absorption in ((SEND, 0.35, 0.8), (turned, 0.7, 0.4)):
        signal = emission * 0.5 * fibre * 0.5 * absorption * 0.6
        dark = 50 * 50e-9
        found = lab_of(tmp_path, link, head).network.links["ab"]
        assert found.success_probability == pytest.approx(signal + (1 - signal) * dark, rel=1e-12)


def test_a_window_takes_its_share_of_each_photon_and_makes_it_purer(tmp_path: Path) -> None:
    """Photons of 10 ns, windows of 3 and 30 ns: 1 - exp(-w/tau) of each, and darks of the window."""
    points = "operating_points: [{name: dim, window_ns: 3}, {name: bright, window_ns: 30}]"
    found = lab_of(tmp_path, with_key(DOUBLE, points), HEAD.replace("mid: {}", DECAYING)).network.links["ab"]
    for point, window_ns in zip(found.points, (3, 30), strict=True):
        arm = 0.35 * 0.5 * 10 ** (-0.2 * 5 / 10) * 0.9 * (1 - exp(-window_ns / 10))
        visibility = windowed_visibility(0.9, window_ns, 10)
        expected = double_click(arm, arm, visibility, 100 * window_ns * 1e-9, False)
        assert point.success_probability == pytest.approx(expected.success_probability, rel=1e-12)
        herald = point.heralds[0]
        assert fidelity_of(Walsh(herald.signs, herald.cost)) == pytest.approx(expected.fidelity, rel=1e-9)


@pytest.mark.parametrize(
    ("link", "points", "setting"),
    [
        (
            SINGLE.replace(", alpha: [0.1, 0.1]", ""),
            "{name: dim, alpha: [0.05, 0.1]}, {name: bright, alpha: [0.05, 0.3]}",
            {"alpha_first": 0.05, "alpha_second": 0.3},
        ),
        (
            SOURCE.replace("{mean_pair_number: 0.1}", "{}"),
            "{name: dim, mean_pair_number: 0.02}, {name: bright, mean_pair_number: 0.3}",
            {"mean_pair_number": 0.3},
        ),
        (DOUBLE, "{name: dim, window_ns: 3}, {name: bright, window_ns: 30}", {"window_ns": 30}),
    ],
    ids=["single_click", "midpoint_source", "double_click"],
)
def test_operating_points_are_faster_and_worse_one_after_another(
    link: str, points: str, setting: dict[str, float], tmp_path: Path
) -> None:
    lab = lab_of(
        tmp_path,
        with_key(link, f"operating_points: [{points}]"),
        HEAD if "source" in link else HEAD.replace("mid: {}", DECAYING),
    )
    found = lab.network.links["ab"]
    dim, bright = found.points
    assert (dim.name, bright.name, bright.settings) == ("dim", "bright", setting)
    assert dim.success_probability < bright.success_probability
    fidelities = [fidelity_of(Walsh(point.heralds[0].signs, point.heralds[0].cost)) for point in found.points]
    assert fidelities[0] > fidelities[1]
    # Where nobody chooses, the dim one holds, in the lab and in the World.
    assert (found.success_probability, found.heralds) == (dim.success_probability, dim.heralds)
    (truth,), _ = lab.world()
    assert [point.success_probability for point in truth.points] == [
        point.success_probability for point in found.points
    ]


def test_a_hidden_truth_changes_the_world_and_nothing_that_a_node_is_told(tmp_path: Path) -> None:
    hidden = with_key(SOURCE, "truth: {intrinsic_error: 0.1, insertion_loss_db: 3}")
    told, plain = lab_of(tmp_path, hidden), lab_of(tmp_path, SOURCE)
    assert told.network == plain.network
    (worse,), _ = told.world()
    (better,), _ = plain.world()
    assert worse.success_probability < 0.4 * better.success_probability
    assert worse.outcomes[0].state[2] < better.outcomes[0].state[2] - 0.1
    assert better.success_probability == plain.network.links["ab"].success_probability


def test_the_hidden_truth_of_a_textbook_link_is_its_probability_and_its_fidelity(tmp_path: Path) -> None:
    link = (
        "  ab: {nodes: [alice, bob], attempt: {period_us: 10, success_probability: 0.1, fidelity: 0.95}, "
        "truth: {success_probability: 0.05, fidelity: 0.8}}\n"
    )
    lab = lab_of(tmp_path, link, HEAD.replace("stations:\n  mid: {}\n", ""))
    (truth,), _ = lab.world()
    assert (truth.success_probability, truth.outcomes[0].state[2]) == (0.05, 0.8)
    assert lab.network.links["ab"].success_probability == 0.1
    again = lab_from_document(json.loads(json.dumps(lab.document)))
    assert (again.network, again.world(), again.digest) == (lab.network, lab.world(), lab.digest)


@pytest.mark.parametrize("link", [DOUBLE, SINGLE, SEND, SOURCE])
def test_a_lab_of_any_architecture_comes_back_from_its_configuration(link: str, tmp_path: Path) -> None:
    lab = lab_of(tmp_path, link, live=True)
    again = lab_from_document(json.loads(json.dumps(lab.document, sort_keys=True)), live=True)
    assert (again.network, again.world()) == (lab.network, lab.world())


WRONG = [
    (
        SEND,
        "alpha: [0.1, 0.1]",
        "links.ab",
        "alpha (one value per node) goes with architecture: single_click",
    ),
    (DOUBLE, "phase_rms_rad: 0.1", "links.ab", "phase_rms_rad (phase between the arms) goes with"),
    (
        DOUBLE,
        "intrinsic_fidelity: 0.9",
        "links.ab",
        "sender and intrinsic_fidelity go with architecture: sender_",
    ),
    (SEND, "sender: carol", "links.ab", 'sender "carol" is neither "alice" nor "bob"'),
    (SEND, "sender: bob", "links.ab", "fibre_km is [0, d], but the receiver's arm is 9"),
    (SEND, "operating_points: [{name: a, alpha: [0.1, 0.1]}]", "links.ab", "has one way to be run"),
    (DOUBLE, "source: {mean_pair_number: 0.1}", "links.ab", "source (of photon pairs) goes with"),
    (SINGLE, "operating_points: [{name: a, alpha: [0.1, 0.1]}]", "links.ab", "say the same thing; give one"),
    (
        SOURCE,
        "operating_points: [{name: a, mean_pair_number: 0.1}]",
        "links.ab",
        "give mean_pair_number of the source, or operating_points",
    ),
    (
        DOUBLE,
        "operating_points: [{name: a, alpha: [0.1, 0.1]}]",
        "links.ab",
        'operating_points: "a" must give window_ns, and only that',
    ),
    (
        DOUBLE,
        "operating_points: [{name: a, window_ns: 5}, {name: b, window_ns: 4}]",
        "links.ab",
        'window_ns of "b" must be above that of "a"',
    ),
    (
        DOUBLE,
        "operating_points: [{name: a, window_ns: 4}, {name: a, window_ns: 5}]",
        "links.ab",
        "two have the same name",
    ),
    (
        DOUBLE,
        "operating_points: [{name: a, window_ns: 4}]",
        "links.ab.operating_points",
        "give photon_lifetime_ns in the detectors of mid",
    ),
    (DOUBLE, "truth: {fidelity: 0.9}", "links.ab", "truth: fidelity means nothing to a double_click link"),
    (DOUBLE, "truth: {visibilty: 0.9}", "links.ab.truth.visibilty", '(did you mean "visibility"?)'),
    (SOURCE, "attempt_period_us: 80", "links.ab.attempt_period_us", "must be at least 85"),
    (SEND, "attempt_period_us: 90", "links.ab.attempt_period_us", "must be at least 100"),
    (SEND, "architecture: sender", "links.ab.architecture", "stands twice"),
]


@pytest.mark.parametrize(("link", "key", "place", "problem"), WRONG, ids=[case[3][:40] for case in WRONG])
def test_a_mistake_about_light_gets_one_line(
    link: str, key: str, place: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        lab_of(tmp_path, with_key(link, key))
    told = refused.value.lines[0] if isinstance(refused.value, LabProblems) else str(refused.value)
    assert told.startswith(f"lab.yaml:8 ({place})")
    assert problem in told
    assert "\n" not in told


def test_a_source_without_a_pair_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give mean_pair_number of the source"):
        lab_of(tmp_path, SOURCE.replace("{mean_pair_number: 0.1}", "{}"))
    with pytest.raises(ConfigError, match="source \\(of photon pairs\\) goes with"):
        lab_of(tmp_path, SOURCE.replace(", source: {mean_pair_number: 0.1}", ""))


def test_detectors_at_a_station_where_no_light_meets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"\(stations\.mid\.detectors\): no light meets here: sender_receiver"
    ):
        lab_of(tmp_path, SEND, HEAD.replace("mid: {}", "mid: {detectors: {efficiency: 0.8}}"))


def test_memories_that_herald_by_themselves_too_often_are_refused(tmp_path: Path) -> None:
    noisy = HEAD.replace("bob: {role: end}", "bob: {role: end, memory: {herald_dark_rate_hz: 1e7}}")
    with pytest.raises(ConfigError, match=r"above 0\.1 heralds without a photon"):
        lab_of(tmp_path, SEND, noisy)


def test_the_schema_knows_the_sections_of_light() -> None:
    known = lab_schema()["$defs"]
    assert set(known["Link"]["properties"]) >= {"source", "operating_points", "truth", "sender"}
    for section in ("Source", "LinkPoint", "Truth"):
        assert known[section]["additionalProperties"] is False
