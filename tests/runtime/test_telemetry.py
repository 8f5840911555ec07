"""OpenTelemetry spans, sent over OTLP/HTTP to a receiver that decodes them with opentelemetry-proto.

The steps are those of a run in virtual time; what other nodes publish is told to the source as the bus would.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bellwire.core.effects import Effect, Publish
from bellwire.core.events import Event, Received
from bellwire.core.ids import NodeId
from bellwire.labs import load_lab
from bellwire.runtime.telemetry import telemetry_of
from bellwire.simulator_backend.simulation import simulate
from tests.runtime.otlp_receiver import Receiver, receiving

LAB = Path(__file__).parents[2] / "lab_configs" / "three_node_repeater.yaml"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def value(span: Span, name: str) -> object:
    (found,) = [one.value for one in span.attributes if one.key == f"bellwire.{name}"]
    return getattr(found, found.WhichOneof("value") or "string_value")


def test_a_request_is_one_trace_with_its_plan_and_each_pair_with_links_swap_and_delivery(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    telemetry = telemetry_of("three_node_repeater", "alice", 1, "1.0")
    assert telemetry is not None

    def watch(now_ns: int, node: NodeId, event: Event, effects: list[Effect]) -> None:
        if node == "alice":
            telemetry.on_step(now_ns, event, effects)
            return
        for effect in effects:
            if isinstance(effect, Publish):
                told = Received(source=node, incarnation=1, message=effect.batch)
                telemetry.on_step(now_ns, told, ())

    report = simulate(load_lab(LAB), 0.5, 1, watch=watch)
    telemetry.close()
    delivered = report["requests"]["demo"]["delivered"]
    assert receiver.resources[0]["service.name"] == "bellwire"
    assert receiver.resources[0]["bellwire.node"] == "alice"
    (request,) = receiver.named("request")
    (plan,) = receiver.named("plan")
    assert {span.trace_id for span in receiver.spans} == {request.trace_id}
    assert (plan.parent_span_id, value(request, "request")) == (request.span_id, "demo")
    pairs = receiver.named("pair")
    assert [value(pair, "number") for pair in pairs] == list(range(1, delivered + 1))
    assert {pair.parent_span_id for pair in pairs} == {request.span_id}
    for pair in pairs:
        below = [span for span in receiver.spans if span.parent_span_id == pair.span_id]
        names = sorted(span.name for span in below)
        assert names in (
            ["delivery", "link", "link", "settling", "swap"],
            ["delivery", "link", "link", "swap"],  # the last one, settled after the end
        )
        links = [span for span in below if span.name == "link"]
        assert {value(link, "link") for link in links} == {"alice-relay", "relay-bob"}
        (swap,) = [span for span in below if span.name == "swap"]
        (delivery,) = [span for span in below if span.name == "delivery"]
        assert min(link.start_time_unix_nano for link in links) == pair.start_time_unix_nano
        assert max(link.start_time_unix_nano for link in links) == swap.start_time_unix_nano
        assert {link.end_time_unix_nano for link in links} == {swap.end_time_unix_nano}
        assert swap.end_time_unix_nano == delivery.start_time_unix_nano < delivery.end_time_unix_nano
        age_ns = value(pair, "age_ns")
        assert delivery.end_time_unix_nano - pair.start_time_unix_nano == age_ns


def test_a_collector_that_is_not_there_costs_spans_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    unused = Receiver()
    unused.server.server_close()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{unused.url}/v1/traces")
    telemetry = telemetry_of("lab", "alice", 1, "1.0")
    assert telemetry is not None
    simulate(load_lab(LAB), 0.05, 1, watch=lambda now, node, event, did: telemetry.on_step(now, event, did))
    telemetry.close()
    assert receiver.spans == []


NOTHING = """
import sys
from bellwire.runtime.telemetry import telemetry_of
assert telemetry_of("lab", "a", 1, "1") is None
assert not [name for name in sys.modules if name.startswith("opentelemetry")], "imported"
"""
ABSENT = """
import sys
sys.modules["opentelemetry"] = None
from bellwire.runtime.telemetry import telemetry_of
assert telemetry_of("lab", "a", 1, "1") is None
"""


@pytest.mark.parametrize(
    ("program", "endpoint"),
    [(NOTHING, ""), (ABSENT, "http://127.0.0.1:1")],
    ids=["no endpoint", "no packages"],
)
def test_without_endpoint_or_packages_nothing_happens(program: str, endpoint: str) -> None:
    environment = {key: text for key, text in os.environ.items() if not key.startswith("OTEL_")}
    environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} if endpoint else {}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
