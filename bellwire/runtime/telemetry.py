"""OpenTelemetry of one agent: a trace for each request submitted here, a span for each of its pairs.

Owns the spans: `request`, below it `plan` and `pair`, below a pair `link`, `swap`, `delivery`, `settling`.
The source of a request makes all of them, from its own reports and the facts that its ledger is told, so that
each pair is told once. Refuses to exist unless OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) is set;
then the `telemetry` extra is imported, and all else is for the variables of OpenTelemetry. Nothing here
waits for the collector: spans queue, within a bound, for a thread of the library.
"""

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from bellwire.core.effects import Effect, Publish, Report
from bellwire.core.events import Event, Received, RequestSubmitted
from bellwire.core.facts import Born, Fact, Fused, Sacrificed, Swapped, ends_named
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.messages import FactBatch

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
REQUESTS_OPEN_MAX: Final = 1_000
ENDS_KEPT: Final = 20_000
"""Ends whose facts are remembered until their pair is delivered; those named longest ago are forgotten."""
PAIRS_UNSETTLED_MAX: Final = 1_000
EXPORT_S: Final = 2.0
CONSTITUENTS_MAX: Final = 512
ENDED: Final = frozenset({"completed", "failed", "cancelled"})


def wanted() -> bool:
    """Whether anybody has said where spans go."""
    return any(os.environ.get(name) for name in ENDPOINTS)


def telemetry_of(lab: str, node: NodeId, incarnation: int, version: str) -> "Telemetry | None":
    """None: nobody wants it, or the packages are missing."""
    if not wanted():
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError:
        return None
    resource = Resource.create(
        {
            "service.name": "bellwire",
            "service.version": version,
            "service.instance.id": f"{node}/{incarnation}",
            "bellwire.lab": lab,
            "bellwire.node": node,
        }
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_S)))
    return Telemetry(provider)


class Telemetry:
    """Makes spans of steps. `provider` is OpenTelemetry's."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("bellwire")
        self._requests: OrderedDict[RequestId, tuple[Any, int]] = OrderedDict()  # span, submitted
        self._facts: OrderedDict[End, list[Fact]] = OrderedDict()
        self._unsettled: OrderedDict[tuple[RequestId, int], tuple[Any, int]] = OrderedDict()

    def on_step(self, now_ns: int, event: Event, effects: Sequence[Effect]) -> None:
        """A step of the machine was done."""
        match event:
            case RequestSubmitted():
                self._begin(now_ns, event)
            case Received(message=FactBatch() as batch):
                self._remember(batch.facts)
            case _:
                pass
        for effect in effects:
            match effect:
                case Publish(again=False):
                    self._remember(effect.batch.facts)
                case Report(request=str(request)) if request in self._requests:
                    self._reported(now_ns, request, effect)
                case _:
                    pass

    def close(self) -> None:
        """End all spans and hand over what still queues; waits for the collector within its limits."""
        for span, _ in (*self._unsettled.values(), *self._requests.values()):
            span.end()
        self._provider.shutdown()

    # ---- requests

    def _begin(self, now_ns: int, event: RequestSubmitted) -> None:
        request = event.request
        if request.request_id in self._requests:
            return
        span = self._tracer.start_span(
            "request",
            start_time=now_ns,
            attributes={
                "bellwire.request": request.request_id,
                "bellwire.members": list(request.target_nodes),
                "bellwire.kind": str(request.entanglement_type),
            },
        )
        self._requests[request.request_id] = (span, now_ns)
        if len(self._requests) > REQUESTS_OPEN_MAX:
            self._requests.popitem(last=False)[1][0].end(now_ns)

    def _reported(self, now_ns: int, request: RequestId, report: Report) -> None:
        span, submitted_ns = self._requests[request]
        fields = report.fields
        match report.name:
            case "plan_active":
                self._child("plan", span, submitted_ns, now_ns, _attributes(request, fields))
            case "pair_delivered" if fields.get("role") == "head":
                self._pair(now_ns, request, span, fields)
            case "pair_settled" | "pair_void" if (request, _number(fields)) in self._unsettled:
                self._settled(now_ns, (request, _number(fields)), void=report.name == "pair_void")
            case "request_status":
                if fields["status"] in ENDED:
                    self._ended(now_ns, request, fields)
            case _:
                pass

    def _ended(self, now_ns: int, request: RequestId, fields: dict[str, Any]) -> None:
        from opentelemetry.trace import Status, StatusCode

        span, _ = self._requests.pop(request)
        span.set_attribute("bellwire.status", str(fields["status"]))
        span.set_attribute("bellwire.pairs", int(fields.get("generated_count") or 0))
        if fields["status"] == "failed":
            span.set_status(Status(StatusCode.ERROR, str(fields.get("error_message"))))
        span.end(now_ns)

    # ---- pairs

    def _pair(self, now_ns: int, request: RequestId, parent: Any, fields: dict[str, Any]) -> None:
        head = End.from_text(str(fields["head_end"]))
        ends = self._constituents(head)
        age_ns = fields.get("age_ns")
        born_ns = now_ns - int(age_ns) if isinstance(age_ns, int) else now_ns
        pair = self._child("pair", parent, born_ns, None, _attributes(request, fields))
        last_ns = born_ns
        facts = list({id(fact): fact for end in ends for fact in self._facts.get(end, ())}.values())
        swaps = [fact for fact in facts if isinstance(fact, Swapped | Fused)]
        for fact in facts:
            if isinstance(fact, Born) and fact.end.side == 0:
                both = {fact.end, fact.end.partner}
                used_ns = min(
                    (swap.at_ns for swap in swaps if both.intersection(ends_named(swap))), default=now_ns
                )
                told = {"bellwire.link": fact.end.link, "bellwire.pair": _text(fact.end)}
                self._child("link", pair, fact.at_ns, used_ns, told)
                last_ns = max(last_ns, fact.at_ns)
        for swap in sorted(swaps, key=lambda one: one.at_ns):
            ready_ns = max(self._born_ns(ends_named(swap)), default=born_ns)
            left, right = ends_named(swap)
            told = {
                "bellwire.left": _text(left), "bellwire.right": _text(right), "bellwire.result": swap.result
            }  # fmt: skip
            self._child("swap" if isinstance(swap, Swapped) else "fusion", pair, ready_ns, swap.at_ns, told)
            last_ns = max(last_ns, swap.at_ns)
        self._child("delivery", pair, min(last_ns, now_ns), now_ns, {})
        for end in ends:
            self._facts.pop(end, None)
        self._unsettled[request, _number(fields)] = (pair, now_ns)
        if len(self._unsettled) > PAIRS_UNSETTLED_MAX:
            self._unsettled.popitem(last=False)[1][0].end(now_ns)

    def _settled(self, now_ns: int, key: tuple[RequestId, int], *, void: bool) -> None:
        pair, delivered_ns = self._unsettled.pop(key)
        self._child("settling", pair, delivered_ns, now_ns, {"bellwire.void": void})
        pair.end(now_ns)

    def _born_ns(self, ends: Iterable[End]) -> Iterator[int]:
        for end in ends:
            for fact in self._facts.get(end, ()):
                if isinstance(fact, Born):
                    yield fact.at_ns

    def _constituents(self, first: End) -> tuple[End, ...]:
        found: dict[End, None] = {first: None}
        waiting = [first]
        while waiting and len(found) <= 2 * CONSTITUENTS_MAX:
            end = waiting.pop()
            near = [end.partner]
            for fact in self._facts.get(end, ()):
                if isinstance(fact, Swapped | Fused | Sacrificed):
                    near += ends_named(fact)
            for one in near:
                if one not in found:
                    found[one] = None
                    waiting.append(one)
        return tuple(found)

    def _remember(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            if isinstance(fact, Born | Swapped | Fused | Sacrificed):
                for end in ends_named(fact):
                    self._facts.setdefault(end, []).append(fact)
                    self._facts.move_to_end(end)
        while len(self._facts) > ENDS_KEPT:
            self._facts.popitem(last=False)

    def _child(
        self, name: str, parent: Any, begun_ns: int, ended_ns: int | None, attributes: dict[str, Any]
    ) -> Any:
        """A span below another; with its end it is finished at once."""
        from opentelemetry.trace import set_span_in_context

        span = self._tracer.start_span(
            name, context=set_span_in_context(parent), start_time=begun_ns, attributes=attributes
        )
        if ended_ns is not None:
            span.end(max(begun_ns, ended_ns))
        return span


def _attributes(request: RequestId, fields: dict[str, Any]) -> dict[str, Any]:
    told = {f"bellwire.{name}": value for name, value in fields.items() if value is not None}
    return {"bellwire.request": request} | told


def _number(fields: dict[str, Any]) -> int:
    return int(fields.get("number") or 0)


def _text(end: End) -> str:
    return str(end).rpartition(":")[0]
