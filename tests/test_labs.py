"""Lab files: what a good one becomes, and the one line that a bad one gets.

Owns the tests of bellwire.labs. The planted mistakes are the ones that operators make; each must name file,
line and path of the place where the finger belongs.
"""

import json
import re
from pathlib import Path

import pytest

from bellwire.core.bell import PERFECT, Walsh, decay, fidelity_of, permute, to_walsh
from bellwire.core.errors import ConfigError
from bellwire.core.photonics import arm_efficiency, double_click, fibre_transmission, single_click
from bellwire.core.settings import MonitorSettings
from bellwire.labs import Lab, LabProblems, LinkChange, lab_from_document, lab_from_w2, lab_schema, load_lab

SHIPPED = sorted((Path(__file__).parents[1] / "lab_configs").glob("*.yaml"))

GOOD = """\
lab: small
nodes:
  alice:
    role: end
    address: tcp://127.0.0.1:47001
    memory: {t1_s: 10, t2_s: 0.5}
    instruments:
      memory: {driver: memory_controller, address: "pty:alice", emulated: true}
  relay: {role: repeater, address: "tcp://127.0.0.1:47002"}
  bob: {role: end, address: "tcp://127.0.0.1:47003"}
stations:
  west:
    detectors: {visibility: 0.9, dark_rate_hz: 200}
    instruments:
      timing: {driver: srs_dg645, address: "TCPIP::127.0.0.1::47005::SOCKET", serial_number: 7}
  east: {}
links:
  left: {nodes: [alice, relay], station: west, fibre_km: [4, 10], lanes: 3}
  right: {nodes: [relay, bob], station: east, fibre_km: [5, 5], lanes: 2}
requests:
  - id: demo
    from: alice
    to: bob
    count: 10
    fidelity_min: 0.7
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "lab.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def good(folder: Path) -> Lab:
    return load_lab(written(folder, GOOD))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_lab_loads(path: Path) -> None:
    lab = load_lab(path)
    assert lab.name == path.stem
    assert lab.requests or lab.equipment  # of a lab without memories nobody can ask for pairs


def test_shipped_labs_are_found() -> None:
    assert len(SHIPPED) >= 7


def test_slots_are_numbered_over_incident_links_in_file_order(tmp_path: Path) -> None:
    network = good(tmp_path).network
    assert network.links["left"].slots == ((0, 1, 2), (0, 1, 2))
    assert network.links["right"].slots == ((3, 4), (0, 1))
    memory = network.nodes["relay"].memory
    assert memory is not None
    assert memory.slots == 5
    assert network.nodes["relay"].links == ("left", "right")
    assert network.nodes["west"].role == "station"
    assert network.nodes["west"].memory is None
    assert network.nodes["west"].links == ("left",)


def test_the_longer_arm_sets_click_and_period(tmp_path: Path) -> None:
    left = good(tmp_path).network.links["left"]
    assert left.click_delay_ns == 50_000
    assert left.herald_delay_ns == (20_000, 50_000)
    # There and back, 10 us to initialise, rounded up to whole microseconds for each of three lanes.
    assert left.period_ns == 111_000
    assert left.length_km == 14


def test_heralds_carry_the_state_of_the_optics_relative_to_their_frame(tmp_path: Path) -> None:
    left = good(tmp_path).network.links["left"]
    arms = [
        arm_efficiency(emission=0.35, conversion=0.5, fibre=fibre_transmission(km, 0.2), detector=0.9)
        for km in (4, 10)
    ]
    optics = double_click(arms[0], arms[1], 0.9, 200 * 5e-9, False)
    assert left.success_probability == optics.success_probability
    assert [(herald.code, herald.frame) for herald in left.heralds] == [(1, 2), (2, 3)]
    for herald, outcome in zip(left.heralds, optics.outcomes, strict=True):
        assert Walsh(herald.signs, herald.cost) == to_walsh(permute(outcome.state, herald.frame))
        assert fidelity_of(Walsh(herald.signs, herald.cost)) == pytest.approx(optics.fidelity, abs=1e-12)


def test_single_click_links_take_the_bright_populations(tmp_path: Path) -> None:
    text = GOOD.replace("lanes: 2}", "lanes: 2, architecture: single_click, alpha: [0.1, 0.2]}")
    right = load_lab(written(tmp_path, text)).network.links["right"]
    arm = arm_efficiency(emission=0.35, conversion=0.5, fibre=fibre_transmission(5, 0.2), detector=0.9)
    optics = single_click(0.1, 0.2, arm, arm, 0.95, 5e-7)
    assert right.success_probability == optics.success_probability


def test_memory_rates_say_how_a_stored_qubit_decays(tmp_path: Path) -> None:
    memory = good(tmp_path).network.nodes["alice"].memory
    assert memory is not None
    # A perfect pair after 0.1 s at T1 = 10 s, T2 = 0.5 s (one qubit, algorithms.md 11.5):
    # F = (1 + 2 exp(-t/T2) + exp(-t/T1)) / 4.
    after = decay(PERFECT, memory.rates, 100_000_000)
    assert fidelity_of(after) == pytest.approx(
        (1 + 2 * 0.8187307530779818 + 0.9900498337491681) / 4, rel=1e-9
    )


def test_delays_follow_the_fibres_through_stations(tmp_path: Path) -> None:
    delays = good(tmp_path).network.delays_ns
    assert delays["alice"]["west"] == 20_000
    assert delays["west"]["relay"] == 50_000
    assert delays["alice"]["bob"] == 70_000 + 50_000
    assert delays["bob"]["alice"] == delays["alice"]["bob"]
    assert delays["west"]["east"] == 50_000 + 25_000
    assert all(delays[name][name] == 0 for name in delays)


def test_delays_can_be_zero_stated_or_lengthened(tmp_path: Path) -> None:
    zero = load_lab(written(tmp_path, GOOD + "classical: {delay: zero}\n")).network.delays_ns
    assert {delay for row in zero.values() for delay in row.values()} == {0}
    stated = GOOD + "classical: {delay_us: {left: 140}, extra_ms: 1}\n"
    slow = load_lab(written(tmp_path, stated)).network.delays_ns
    assert slow["alice"]["relay"] == 140_000 + 1_000_000
    assert slow["alice"]["west"] == 40_000 + 1_000_000  # the stated delay is shared out by fibre length
    assert slow["alice"]["bob"] == 140_000 + 50_000 + 1_000_000
    assert slow["bob"]["bob"] == 0


def test_machines_without_a_fibre_between_them_can_still_talk(tmp_path: Path) -> None:
    text = GOOD.split("requests:")[0].replace(
        "  right: {nodes: [relay, bob], station: east", "  right: {nodes: [bob, carol], station: east"
    )
    text = text.replace("stations:", "  carol: {role: end}\nstations:")
    delays = load_lab(written(tmp_path, text)).network.delays_ns
    assert delays["alice"]["bob"] == 70_000  # as long as the longest way in the lab
    assert set(delays["alice"]) == {"alice", "relay", "bob", "carol", "west", "east"}


def test_live_labs_start_on_a_whole_second_with_time_to_arm(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    virtual, live = load_lab(path).network.links["left"], load_lab(path, live=True).network.links["left"]
    assert (virtual.whole_second, virtual.start_margin_ns) == (False, 0)
    assert (live.whole_second, live.start_margin_ns) == (True, 400_000_000)


def test_textbook_clicks_come_just_before_the_next_attempt(tmp_path: Path) -> None:
    path = next(path for path in SHIPPED if path.stem == "textbook_two_segments")
    link = load_lab(path).network.links["a-m"]
    assert link.station is None
    assert link.period_ns - link.click_delay_ns == 2
    assert [(herald.code, herald.frame) for herald in link.heralds] == [(1, 2)]
    assert fidelity_of(Walsh(link.heralds[0].signs, link.heralds[0].cost)) == pytest.approx(0.98)
    text = path.read_text(encoding="utf-8").replace("rounds: true", "rounds: true, cutoff_attempts: 5")
    cutoff_ns = load_lab(written(tmp_path, text)).requests[0].cutoff_ns
    # After the fifth click from the birth on, before the attempt that follows it.
    assert cutoff_ns is not None
    assert 5 * link.period_ns < cutoff_ns < 5 * link.period_ns + 2


def test_requests_timers_and_faults_arrive_in_nanoseconds(tmp_path: Path) -> None:
    text = GOOD + (
        "    weight: 3\n    deadline_s: 2.5\n    cutoff_ms: 40\n"
        "timers: {answer_ms: 20, age_max_s: 5}\n"
        "scenario:\n  message_loss_probability: 1e-2\n  delay_jitter_us: 3\n"
        "  crashes: [{node: relay, at_s: 1, down_s: 0.5}]\n"
    )
    lab = load_lab(written(tmp_path, text))
    request = lab.requests[0]
    assert request.target_nodes == ("alice", "bob")
    assert (request.priority, request.deadline_ns, request.cutoff_ns) == (3, 2_500_000_000, 40_000_000)
    assert (lab.network.timers.answer_ns, lab.network.timers.age_max_ns) == (20_000_000, 5_000_000_000)
    assert lab.network.timers.plan_renew_ns == 500_000_000
    assert lab.scenario.message_loss_probability == 0.01
    assert lab.scenario.delay_jitter_ns == 3_000
    assert [(crash.node, crash.at_ns, crash.down_ns) for crash in lab.scenario.crashes] == [
        ("relay", 1_000_000_000, 500_000_000)
    ]


def test_monitoring_and_changes_of_links_arrive_in_nanoseconds_and_default_to_those_of_machines(
    tmp_path: Path,
) -> None:
    assert good(tmp_path).network.monitor == MonitorSettings()
    text = GOOD + (
        "monitoring: {duration_min_s: 3, duration_least_s: 0.5, samples_min: 50, ladder: [replan, suspend]}\n"
        "scenario:\n  link_changes: [{link: left, at_s: 2, success_factor: 0.1, noise: 0.2}]\n"
    )
    lab = load_lab(written(tmp_path, text))
    assert lab.network.monitor == MonitorSettings(
        duration_min_ns=3_000_000_000,
        duration_least_ns=500_000_000,
        samples_min=50,
        ladder=("replan", "suspend"),
    )
    (change,) = lab.scenario.link_changes
    assert change == LinkChange(link="left", at_ns=2_000_000_000, success_factor=0.1, noise=0.2)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("monitoring: {ladder: [replan, terminate]}", "ladder"),
        ("monitoring: {change: 1.0}", "monitoring.change): must be"),
        ("monitoring: {reduction_max: 1}", "monitoring.reduction_max): must be"),
        ("monitoring: {memory_durations: 0.5}", "must be at least 1.0"),
        ("monitoring: {cool_down: 3}", "cool_down"),
        ("scenario: {link_changes: [{link: rihgt, at_s: 1}]}", 'unknown link "rihgt"'),
        ("scenario: {link_changes: [{link: right, at_s: 1, noise: 2}]}", "must be at most 1.0"),
    ],
)
def test_monitoring_that_could_not_end_and_changes_of_no_link_are_refused(
    tmp_path: Path, section: str, words: str
) -> None:
    with pytest.raises(LabProblems, match=re.escape(words)):
        load_lab(written(tmp_path, GOOD + section + "\n"))


def test_instruments_and_addresses_are_listed(tmp_path: Path) -> None:
    lab = good(tmp_path)
    assert lab.addresses["relay"] == "tcp://127.0.0.1:47002"
    assert [
        (one.owner, one.role, one.driver, one.serial_number, one.emulated) for one in lab.instruments
    ] == [
        ("alice", "memory", "memory_controller", None, True),
        ("west", "timing", "srs_dg645", "7", False),
    ]


def test_links_are_told_their_schedulers_and_calendars(tmp_path: Path) -> None:
    text = GOOD.replace("lanes: 3}", "lanes: 3, scheduler: weighted_fair_queueing}")
    text = text.replace("lanes: 2}", "lanes: 2, scheduler: tdma, calendar: [demo, null, demo]}")
    links = load_lab(written(tmp_path, text)).network.links
    assert (links["left"].scheduler, links["left"].calendar) == ("weighted_fair_queueing", ())
    assert (links["right"].scheduler, links["right"].calendar) == ("tdma", ("demo", None, "demo"))
    assert {link.scheduler for link in good(tmp_path).network.links.values()} == {"weighted_round_robin"}


def test_the_world_is_told_what_the_file_says(tmp_path: Path) -> None:
    lab = good(tmp_path)
    links, memories = lab.world()
    assert [(link.name, link.lanes, link.period_ns) for link in links] == [
        ("left", 3, 111_000),
        ("right", 2, 60_000),
    ]
    assert sum(outcome.share for outcome in links[0].outcomes) == pytest.approx(1)
    assert [(memory.node, memory.slots) for memory in memories] == [("alice", 3), ("relay", 5), ("bob", 2)]
    assert (memories[0].t1_ns, memories[0].t2_ns) == (10_000_000_000, 500_000_000)


def test_the_digest_depends_on_meaning_only(tmp_path: Path) -> None:
    digest = good(tmp_path).digest
    commented = "# a comment\n" + GOOD.replace("fibre_km: [5, 5]", "fibre_km: [5.0, 5]") + "seed: 1\n"
    assert load_lab(written(tmp_path, commented)).digest == digest
    assert load_lab(written(tmp_path, GOOD.replace("[5, 5]", "[5, 6]"))).digest != digest


def test_a_lab_comes_back_from_its_configuration_even_with_sorted_keys(tmp_path: Path) -> None:
    # Found by a replay that differed: JSON with sorted keys had changed the order of nodes.
    text = GOOD.replace("  left: {", "  z: {")
    lab = load_lab(written(tmp_path, text), live=True)
    again = lab_from_document(json.loads(json.dumps(lab.document, sort_keys=True)), live=True)
    assert again.network == lab.network
    assert list(again.network.nodes) == list(lab.network.nodes) != sorted(lab.network.nodes)
    assert list(again.network.links) == ["z", "right"]
    assert (again.requests, again.scenario, again.digest) == (lab.requests, lab.scenario, lab.digest)


def test_the_digest_depends_on_the_order_of_links_because_slots_do(tmp_path: Path) -> None:
    lines = GOOD.splitlines(keepends=True)
    left = next(index for index, line in enumerate(lines) if line.startswith("  left:"))
    lines[left], lines[left + 1] = lines[left + 1], lines[left]
    assert load_lab(written(tmp_path, "".join(lines))).digest != good(tmp_path).digest


@pytest.mark.parametrize("broken", [{}, {"lab": "x"}, {"order": {"nodes": ["a"]}, "nodes": {}}])
def test_a_configuration_of_another_version_is_refused_in_one_line(broken: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"run/configuration\.json: not a configuration of this version"):
        lab_from_document(broken, path="run/configuration.json")


BAD = [
    (
        "unknown key",
        "lanes: 3}",
        "fibre_m: 3}",
        18,
        "links.left.fibre_m",
        'unknown key "fibre_m" (did you mean "fibre_km"?)',
    ),
    (
        "unknown section",
        "stations:",
        "station:",
        11,
        "station",
        'unknown key "station" (did you mean "stations"?)',
    ),
    (
        "unknown node",
        "[relay, bob]",
        "[relai, bob]",
        19,
        "links.right.nodes[0]",
        'unknown node "relai" (did you mean "relay"?)',
    ),
    (
        "unknown station",
        "station: east",
        "station: eats",
        19,
        "links.right.station",
        'unknown station "eats" (did you mean "east"?)',
    ),
    (
        "unknown scheduler",
        "lanes: 2}",
        "lanes: 2, scheduler: strict_prio}",
        19,
        "links.right.scheduler",
        'unknown scheduler "strict_prio" (did you mean "strict_priority"?)',
    ),
    (
        "time division without a calendar",
        "lanes: 2}",
        "lanes: 2, scheduler: tdma}",
        19,
        "links.right",
        "calendar (frames granted in turn) goes with scheduler: tdma, and only there",
    ),
    (
        "calendar that nobody keeps",
        "lanes: 2}",
        "lanes: 2, calendar: [demo, null]}",
        19,
        "links.right",
        "calendar (frames granted in turn) goes with scheduler: tdma, and only there",
    ),
    (
        "unknown driver",
        "driver: memory_controller",
        "driver: memory_control",
        8,
        "nodes.alice.instruments.memory.driver",
        'unknown driver "memory_control" (did you mean "memory_controller"?)',
    ),
    (
        "driver in the wrong role",
        "driver: srs_dg645",
        "driver: herald_fpga",
        15,
        "stations.west.instruments.timing.driver",
        'driver "herald_fpga" cannot play the role timing (known: srs_dg645)',
    ),
    (
        "unit in the value",
        "count: 10",
        "count: 10 pairs",
        24,
        "requests[0].count",
        'must be a whole number; write the bare number, the unit is part of the key, is "10 pairs"',
    ),
    (
        "fraction of a pair",
        "count: 10",
        "count: 1.5",
        24,
        "requests[0].count",
        "must be a whole number, is 1.5",
    ),
    (
        "probability above one",
        "visibility: 0.9",
        "visibility: 90",
        13,
        "stations.west.detectors.visibility",
        "must be at most 1",
    ),
    ("negative length", "[5, 5]", "[5, -5]", 19, "links.right.fibre_km[1]", "must be at least 0"),
    ("infinite length", "[5, 5]", "[5, .inf]", 19, "links.right.fibre_km[1]", "must be a finite number"),
    (
        "one arm only",
        "[5, 5]",
        "[5]",
        19,
        "links.right.fibre_km[1]",
        "the list is too short: entry 2 is missing",
    ),
    (
        "duplicate port",
        ":47003",
        ":47002",
        10,
        "nodes.bob.address",
        "127.0.0.1 port 47002 is already taken by nodes.relay",
    ),
    (
        "instrument on a bus port",
        "::47005::",
        "::47001::",
        15,
        "stations.west.instruments.timing.address",
        "already taken by nodes.alice",
    ),
    ("port out of range", ":47003", ":99999", 10, "nodes.bob.address", "port 99999 is outside 1..65535"),
    (
        "not an address",
        "tcp://127.0.0.1:47003",
        "127.0.0.1",
        10,
        "nodes.bob.address",
        "must look like tcp://127.0.0.1:PORT",
    ),
    (
        "key given twice",
        "count: 10",
        "from: bob",
        24,
        "requests[0].from",
        'the key "from" stands twice, first on line 22',
    ),
    (
        "missing key",
        "    count: 10\n",
        "",
        21,
        "requests[0]",
        "give count (pairs), duration_s or until_cancelled",
    ),
    (
        "steady without a rate",
        "    count: 10\n",
        "    count: 10\n    reserved_only: true\n",
        21,
        "requests[0]",
        "reserved_only keeps to what rate_min_hz reserves for plain pairs; give it",
    ),
    ("missing name", "lab: small\n", "", 1, "lab", 'the key "lab" is missing in the file'),
    (
        "unused station",
        "  east: {}\n",
        "  east: {}\n  north: {}\n",
        17,
        "stations.north",
        'no link uses the station "north"',
    ),
    (
        "impossible memory",
        "t2_s: 0.5",
        "t2_s: 25",
        6,
        "nodes.alice.memory",
        "t2_s = 25.0 exceeds 2 t1_s = 20.0",
    ),
    (
        "unknown role",
        "role: repeater",
        "role: router",
        9,
        "nodes.relay.role",
        "must be 'end' or 'repeater', is \"router\"",
    ),
    ("link to itself", "[relay, bob]", "[bob, bob]", 19, "links.right", 'both ends are "bob"'),
    (
        "station used twice",
        "station: east",
        "station: west",
        19,
        "links.right.station",
        'already serves link "left"',
    ),
    (
        "period below the flight",
        "lanes: 2}",
        "lanes: 2, attempt_period_us: 50}",
        19,
        "links.right.attempt_period_us",
        "must be at least 60",
    ),
    (
        "two forms of link",
        "lanes: 2}",
        "attempt: {period_us: 1, success_probability: 1}}",
        19,
        "links.right",
        "excludes fibre_km, station",
    ),
    (
        "alpha without its architecture",
        "lanes: 2}",
        "alpha: [0.1, 0.1]}",
        19,
        "links.right",
        "alpha (one value per node)",
    ),
    ("bad name of a node", "  bob: {role", '  "b b": {role', 10, "nodes.b b", "must look like a name"),
    (
        "request from nobody",
        "from: alice",
        "from: alcie",
        22,
        "requests[0].from",
        'unknown node "alcie" (did you mean "alice"?)',
    ),
    (
        "ledger at nobody's",
        "requests:",
        "central_ledger: {node: west}\nrequests:",
        20,
        "central_ledger.node",
        'unknown node "west"',
    ),
    (
        "region without ledgers of routes",
        "bob: {role: end",
        "bob: {region: north, role: end",
        10,
        "nodes.bob.region",
        "regions mean something with `ledgers: routes`, or where `schedule` has `regions`",
    ),
    ("request to itself", "to: bob", "to: alice", 21, "requests[0]", 'from and to are both "alice"'),
    (
        "route over no link",
        "count: 10",
        "count: 10\n    route: [alice, bob]",
        25,
        "requests[0].route[1]",
        'no link joins "alice" and "bob"',
    ),
    (
        "cutoff in attempts of unequal links",
        "count: 10",
        "count: 1\n    cutoff_attempts: 3",
        25,
        "requests[0].cutoff_attempts",
        "one attempt period",
    ),
    (
        "unknown mode",
        "count: 10",
        "count: 10\n    mode: scor",
        25,
        "requests[0].mode",
        'unknown generation mode "scor" (did you mean "score"?)',
    ),
    (
        "wrong option of a mode",
        "count: 10",
        'count: 10\n    mode: "oldest(cutoff=deep)"',
        25,
        "requests[0].mode",
        "cutoff is one of none, flat, depth",
    ),
    (
        "tree of subtrees that do not meet",
        "count: 10",
        "count: 10\n    tree: ((alice relay) (bob relay))",
        25,
        "requests[0].tree",
        "alice-relay and bob-relay share no node",
    ),
    (
        "tree over no link",
        "count: 10",
        "count: 10\n    tree: (alice bob)",
        25,
        "requests[0].tree",
        'no link joins "alice" and "bob"',
    ),
    (
        "tree from elsewhere",
        "count: 10",
        "count: 10\n    tree: (relay bob)",
        25,
        "requests[0].tree",
        'must lead from "alice" to "bob"',
    ),
    (
        "tree over another route than the one given",
        "count: 10",
        "count: 10\n    route: [alice, relay, bob]\n    tree: (alice bob)",
        26,
        "requests[0].tree",
        "is over another route than the one given",
    ),
    ("not YAML", "nodes:\n", "nodes: [\n", 4, None, "not valid YAML"),
]


@pytest.mark.parametrize(
    ("was", "becomes", "line", "place", "problem"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_a_mistake_gets_one_line_with_file_line_and_path(
    tmp_path: Path, was: str, becomes: str, line: int, place: str | None, problem: str
) -> None:
    assert GOOD.count(was) >= 1
    with pytest.raises(ConfigError) as refused:
        load_lab(written(tmp_path, GOOD.replace(was, becomes, 1)))
    first = refused.value.lines[0] if isinstance(refused.value, LabProblems) else str(refused.value)
    where = f"lab.yaml:{line}" if place is None else f"lab.yaml:{line} ({place}): "
    assert first.startswith(where)
    assert problem in first
    assert "\n" not in str(refused.value)


def test_all_problems_are_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("count: 10", "count: 0").replace("role: end", "rôle: end", 1)
    with pytest.raises(LabProblems) as refused:
        load_lab(written(tmp_path, text))
    lines = refused.value.lines
    numbers = [int(line.split(":")[1].split(" ")[0]) for line in lines]
    assert len(lines) == 3  # role is missing, its misspelling is unknown, and the count is 0
    assert numbers == sorted(numbers)
    assert f"[and {len(lines) - 1} more" in str(refused.value)


def test_numbers_in_scientific_notation_are_numbers(tmp_path: Path) -> None:
    lab = load_lab(written(tmp_path, GOOD.replace("dark_rate_hz: 200", "dark_rate_hz: 2e2")))
    assert lab.digest == good(tmp_path).digest


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot read this lab file"):
        load_lab(tmp_path / "nowhere.yaml")


def test_a_list_at_the_top_is_not_a_lab(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mapping of sections"):
        load_lab(written(tmp_path, "- a\n- b\n"))


def test_the_schema_names_every_section_and_refuses_unknown_keys() -> None:
    schema = lab_schema()
    assert set(schema["properties"]) >= {
        "lab",
        "nodes",
        "stations",
        "links",
        "classical",
        "requests",
        "scenario",
    }
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Link"]["additionalProperties"] is False
    assert "from" in schema["$defs"]["Request"]["properties"]
    json.dumps(schema)


W2 = {
    "nodes": [{"name": name, "x_km": 0.0, "y_km": 0.0} for name in ("a", "b", "c", "d")],
    "edges": [["a", "b"], ["b", "c"], ["c", "d"], ["a", "d"]],
    "requests": [
        {"src": "a", "dst": "c", "path": ["a", "b", "c"]},
        {"src": "c", "dst": "b", "path": ["c", "b"]},
    ],
    "model": {
        "link_length_km": 10,
        "p_attempt": 0.01,
        "attempt_period_s": 5e-5,
        "memory_pairs_per_request_per_link": 2,
        "swap_success": 0.5,
    },
}


def test_benchmark_networks_give_each_request_memories_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps(W2), encoding="utf-8")
    lab = lab_from_w2(path)
    links = lab.network.links
    assert {name: link.reserved_for for name, link in links.items()} == {
        "a-b/r00": "r00",
        "b-c/r00": "r00",
        "c-b/r01": "r01",
        "c-d": None,
        "a-d": None,
    }
    assert {link.lanes for name, link in links.items() if "/" in name} == {2}
    assert {link.period_ns for link in links.values()} == {50_000}
    assert lab.network.delays_ns["a"]["c"] == 100_000
    assert [request.route for request in lab.requests] == [("a", "b", "c"), ("c", "b")]
    memory = lab.network.nodes["b"].memory
    assert memory is not None
    assert memory.rates == (0, 0, 0)
    assert memory.slots == 6


def test_a_file_that_is_no_benchmark_network_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"nodes": []}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"net\.json: not a network of this format"):
        lab_from_w2(path)


def test_lanes_that_the_analyser_cannot_interleave_are_refused_with_the_file_and_not_at_the_start(
    tmp_path: Path,
) -> None:
    analyser = "{instruments: {herald: {driver: herald_fpga, address: 'pty:east', emulated: true}}}"
    text = GOOD.replace("  east: {}", f"  east: {analyser}")
    load_lab(written(tmp_path, text.replace("lanes: 2}", "lanes: 4, attempt_period_us: 100}")))
    with pytest.raises(ConfigError, match=r"lab\.yaml:19 \(links\.right\.attempt_period_us\): the analyser"):
        load_lab(written(tmp_path, text.replace("lanes: 2}", "lanes: 3, attempt_period_us: 100}")))


def test_a_central_ledger_lies_where_the_file_says_or_in_the_middle(tmp_path: Path) -> None:
    assert good(tmp_path).network.centre is None
    named = GOOD + "central_ledger: {node: bob, service_ms: 0.25}\n"
    network = load_lab(written(tmp_path, named)).network
    assert (network.centre, network.centre_service_ns) == ("bob", 250_000)
    assert load_lab(written(tmp_path, GOOD + "central_ledger: {}\n")).network.centre == "relay"


def test_ledgers_of_routes_and_regions_are_read(tmp_path: Path) -> None:
    assert good(tmp_path).network.ledgers == "network"
    text = GOOD.replace("bob: {role: end", "bob: {region: north, role: end") + "ledgers: routes\n"
    network = load_lab(written(tmp_path, text)).network
    assert network.ledgers == "routes"
    assert [network.nodes[name].region for name in ("alice", "bob")] == ["", "north"]
    assert network.region_of("alice") == ("alice", "relay")
    assert network.hears_of_links("relay") == ("alice",)
