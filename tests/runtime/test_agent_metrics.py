"""The metrics of one agent on its own port: a real process, asked over HTTP while its peers are absent."""

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bellwire.core.errors import ConfigError
from bellwire.labs.free_ports import free_ports, on_free_ports
from bellwire.runtime.delivery_tally import Histogram
from bellwire.runtime.metric_families import EVENT_NAMES_MAX, Expiry, agent_metrics, calibration_metrics
from bellwire.runtime.metrics_page import address_of, page

LABS = Path(__file__).parents[2] / "lab_configs"
PATIENCE_S = 60.0


def test_a_single_agent_tells_its_own_metrics(tmp_path: Path) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_text(on_free_ports((LABS / "two_node_link.yaml").read_text(encoding="utf-8")), encoding="utf-8")
    (port,) = free_ports(1)
    arguments = [
        "node",
        str(lab),
        "alice",
        "--state",
        str(tmp_path / "state"),
        "--metrics",
        f"127.0.0.1:{port}",
    ]
    with (tmp_path / "errors").open("wb") as errors:
        agent = subprocess.Popen([sys.executable, "-m", "bellwire", *arguments], stderr=errors)
    try:
        give_up_s, text = time.monotonic() + PATIENCE_S, ""
        while not text:
            assert agent.poll() is None, (tmp_path / "errors").read_text(encoding="utf-8")
            assert time.monotonic() < give_up_s
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                    text = answer.read().decode()
            except OSError:
                time.sleep(0.05)
    finally:
        agent.terminate()
        agent.wait(timeout=PATIENCE_S)
    assert agent.returncode == 0
    found = {
        (sample.name, sample.labels.get("peer")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("node") == "alice"
    }
    assert found["bellwire_agent_up", None] == 1
    assert found["bellwire_agent_ready", None] == 0
    assert found["bellwire_agent_incarnation", None] == 1
    assert found["bellwire_peer_up", "bob"] == 0


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("0.0.0.0:9470", "beyond this computer"),
        ("9470", "is no address"),
        ("localhost:9470", "is no address"),
        ("127.0.0.1:70000", "is no port"),
    ],
)
def test_an_address_that_strangers_could_ask_is_refused(address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        address_of(address)


def test_an_ipv6_loopback_is_taken() -> None:
    assert address_of("[::1]:0") == ("::1", 0)


def test_calibrations_tell_when_they_end_and_whether_they_hold() -> None:
    expiries = [Expiry("a-b", "delays", 60.0, True), Expiry("a-b", "visibility", None, False)]
    text = page(calibration_metrics(expiries, 1_000.0))[0].decode()
    found = {
        (sample.name, sample.labels["procedure"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found == {
        ("bellwire_calibration_expiry_timestamp_seconds", "delays"): 1_060.0,
        ("bellwire_calibration_usable", "delays"): 1.0,
        ("bellwire_calibration_usable", "visibility"): 0.0,
    }


TABLES = (
    "peers",
    "outbox",
    "instruments",
    "instrument_ages_s",
    "slots",
    "links",
    "swaps",
    "fusions",
    "station",
)
NUMBERS = ("incarnation", "steps", "step_ns_max", "clock_steps_back", "frames_received", "congested")
Told = dict[str, dict[str, object] | None]


def readings(
    own: list[int], seen: dict[str, list[int]], health: dict[str, int] | None = None
) -> dict[str, object]:
    """Of an agent with nothing but a ledger and health."""
    tables: dict[str, object] = {name: {} for name in (*TABLES, "link_standings", "pairs", "stored")}
    numbers = dict.fromkeys((*NUMBERS, "log_lines_lost"), 0)
    ledger = {"applied": 1, "ends": 0, "held": 0, "refused": 0, "own": own, "seen": seen}
    build = {"version": "1", "python": "3", "ready": True, "requests": [], "health": health or {}}
    return {**tables, **numbers, **build, "ledger": ledger}


def samples(name: str, told: Told, *, scoped: bool = False) -> dict[str, float]:
    return {
        " ".join(sample.labels.values()): sample.value
        for family in agent_metrics(told, scoped=scoped)
        for sample in family.samples
        if sample.name == name
    }


def test_the_lag_of_a_ledger_is_what_others_have_said_and_it_has_not_heard() -> None:
    told: Told = {
        "a": readings([1, 10], {"b": [1, 4], "c": [2, 9]}),
        "b": readings([1, 7], {"a": [1, 10]}),  # never heard of c
        "c": readings([2, 9], {"a": [1, 12], "b": [0, 99]}),  # a was asked before c
        "d": None,
    }
    assert samples("bellwire_ledger_lag_facts", told) == {"a": 3, "b": 9, "c": 7}
    assert samples("bellwire_ledger_lag_facts", told, scoped=True) == {}
    assert samples("bellwire_agent_up", told) == {"a": 1, "b": 1, "c": 1, "d": 0}


def test_rare_event_names_beyond_the_bound_are_told_together() -> None:
    health = {f"event_{number:03d}": 1_000 - number for number in range(EVENT_NAMES_MAX + 50)}
    found = samples("bellwire_health_events_total", {"a": readings([1, 0], {}, health)})
    assert len(found) == EVENT_NAMES_MAX + 1
    assert found["a other"] == sum(1_000 - number for number in range(EVENT_NAMES_MAX, EVENT_NAMES_MAX + 50))
    assert sum(found.values()) == sum(health.values())


def test_a_value_on_a_bound_counts_below_it() -> None:
    histogram = Histogram((0.5, 1.0))
    for value in (0.5, 0.6, 1.0, 1.5):
        histogram.add(value)
    assert histogram.told() == {"bounds": [0.5, 1.0], "counts": [1, 2, 1], "sum": 3.6}
