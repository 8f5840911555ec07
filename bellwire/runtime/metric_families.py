"""How metrics follow from readings: one family for each name of metric_names.py.

Owns the mapping. Refuses to ask anybody (readings are handed in) and the text format, which is
prometheus-client's. Of event names the `EVENT_NAMES_MAX` most frequent of a node are told, all others
together as `other`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric

from bellwire.runtime.metric_names import METRICS

Readings = Mapping[str, Any]
EVENT_NAMES_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Expiry:
    """Until when a calibration of a link holds, as its store says."""

    link: str
    procedure: str
    left_s: float | None  # None: it never expires, does not hold, or was never made
    usable: bool


class _Page:
    """Families in the order of the table, filled as readings come."""

    def __init__(self) -> None:
        self._families: dict[str, Any] = {}

    def put(self, name: str, labels: Iterable[str], value: float) -> None:
        self._family(name).add_metric([*labels], float(value))

    def put_info(self, name: str, labels: Iterable[str], told: dict[str, str]) -> None:
        self._family(name).add_metric([*labels], told)

    def put_histogram(self, name: str, labels: Iterable[str], histogram: Readings) -> None:
        bounds = [*(repr(float(bound)) for bound in histogram["bounds"]), "+Inf"]
        counts = map(float, accumulate(histogram["counts"]))
        buckets = list(zip(bounds, counts, strict=True))
        self._family(name).add_metric([*labels], buckets, histogram["sum"])

    def families(self) -> Iterator[Metric]:
        for name in METRICS:
            if name in self._families:
                yield self._families[name]

    def _family(self, name: str) -> Any:
        if name not in self._families:
            described = METRICS[name]
            makers = {
                "gauge": GaugeMetricFamily,
                "counter": CounterMetricFamily,
                "histogram": HistogramMetricFamily,
                "info": InfoMetricFamily,
            }
            make: Any = makers[described.kind]
            plain = name.removesuffix("_info")  # the library adds it, and _total, by itself
            self._families[name] = make(plain, described.told, labels=described.labels)
        return self._families[name]


def agent_metrics(readings: Mapping[str, Readings | None], *, scoped: bool = False) -> Iterator[Metric]:
    """Families of all agents; None: that agent does not answer.

    scoped: ledgers keep to routes, so that a lag cannot be told from numbers of facts.
    """
    page = _Page()
    for node, one in readings.items():
        page.put("bellwire_agent_up", [node], one is not None)
        if one is not None:
            _put_process(page, node, one)
            _put_bus(page, node, one)
            _put_instruments(page, node, one)
            _put_links(page, node, one)
            _put_gates(page, node, one)
            _put_requests(page, node, one)
    ledgers = {node: one["ledger"] for node, one in readings.items() if one is not None and one["ledger"]}
    for node, ledger in ledgers.items():
        _put_ledger(page, node, ledger)
        if not scoped:
            behind = (_behind(ledgers[a]["own"], ledger["seen"].get(a)) for a in ledgers if a != node)
            page.put("bellwire_ledger_lag_facts", [node], sum(behind))
    return page.families()


def calibration_metrics(expiries: Iterable[Expiry], now_s: float) -> Iterator[Metric]:
    """Families of calibrations; now_s: unix time."""
    page = _Page()
    for one in expiries:
        labels = (one.link, one.procedure)
        page.put("bellwire_calibration_usable", labels, one.usable)
        if one.left_s is not None:
            page.put("bellwire_calibration_expiry_timestamp_seconds", labels, now_s + one.left_s)
    return page.families()


def _put_process(page: _Page, node: str, one: Readings) -> None:
    page.put_info("bellwire_build_info", [node], {"version": one["version"], "python": one["python"]})
    page.put("bellwire_agent_ready", [node], one["ready"])
    page.put("bellwire_agent_incarnation", [node], one["incarnation"])
    page.put("bellwire_agent_steps_total", [node], one["steps"])
    page.put("bellwire_agent_step_longest_seconds", [node], one["step_ns_max"] / 1e9)
    page.put("bellwire_agent_clock_steps_back_total", [node], one["clock_steps_back"])
    page.put("bellwire_log_lines_lost_total", [node], one["log_lines_lost"])
    for event, count in _most(one["health"]):
        page.put("bellwire_health_events_total", [node, event], count)


def _put_bus(page: _Page, node: str, one: Readings) -> None:
    for peer, state in one["peers"].items():
        page.put("bellwire_peer_up", [node, peer], state == "up")
    for urgency, count in one["outbox"].items():
        page.put("bellwire_bus_queue_messages", [node, urgency], count)
    page.put("bellwire_bus_congested_peers", [node], one["congested"])
    page.put("bellwire_bus_frames_received_total", [node], one["frames_received"])


def _put_instruments(page: _Page, node: str, one: Readings) -> None:
    for name, state in one["instruments"].items():
        page.put("bellwire_instrument_ready", [node, name], state["condition"] == "ready")
    for name, seconds in one["instrument_ages_s"].items():
        page.put("bellwire_instrument_heard_age_seconds", [node, name], seconds)
    for state, count in one["slots"].items():
        page.put("bellwire_memory_slots", [node, state], count)


def _put_links(page: _Page, node: str, one: Readings) -> None:
    for link, counters in one["links"].items():
        for event, count in counters.items():
            if event == "heralds":
                page.put("bellwire_link_heralds_total", [node, link], count)
            else:
                page.put("bellwire_link_events_total", [node, link, event], count)
    for link, standing in one["link_standings"].items():
        page.put("bellwire_link_duty_ratio", [link], standing["duty"])
        page.put("bellwire_link_requests", [link], len(standing["wanted_by"]))
        for figures in standing["figures"]:
            labels = [link, str(figures["point"])]
            page.put("bellwire_link_fidelity_ratio", labels, figures["fidelity"])
            page.put("bellwire_link_success_ratio", labels, figures["success_probability"])


def _put_gates(page: _Page, node: str, one: Readings) -> None:
    for table, name in (
        ("swaps", "bellwire_swaps_total"),
        ("fusions", "bellwire_fusions_total"),
        ("station", "bellwire_station_events_total"),
    ):
        for event, count in one[table].items():
            page.put(name, [node, event], count)


def _put_requests(page: _Page, node: str, one: Readings) -> None:
    for kind, state, count in one["requests"]:
        page.put("bellwire_requests", [node, kind, state], count)
    for kind, told in one["pairs"].items():
        for event, count in told["counts"].items():
            page.put("bellwire_pairs_total", [node, kind, event], count)
        if told["fidelity"] is not None:
            page.put_histogram("bellwire_pair_fidelity_ratio", [node, kind], told["fidelity"])
        if told["age_s"] is not None:
            page.put_histogram("bellwire_pair_age_seconds", [node, kind], told["age_s"])
    for name, count in one["stored"].items():
        page.put("bellwire_stored_pairs", [node, name], count)


def _put_ledger(page: _Page, node: str, ledger: Readings) -> None:
    page.put("bellwire_ledger_facts_applied_total", [node], ledger["applied"])
    page.put("bellwire_ledger_facts_refused_total", [node], ledger["refused"])
    page.put("bellwire_ledger_ends", [node], ledger["ends"])
    page.put("bellwire_ledger_facts_held", [node], ledger["held"])


def _behind(own: list[int], seen: list[int] | None) -> int:
    """How many facts of an author's present life a reader lacks; the two were asked one after the other."""
    if seen is None or seen[0] < own[0]:
        return own[1]
    return max(0, own[1] - seen[1]) if seen[0] == own[0] else 0


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ordered[EVENT_NAMES_MAX:])
    return [*ordered[:EVENT_NAMES_MAX], *([("other", rest)] if rest else [])]
