"""/metrics of a lab that is up: what it says of pairs just made, to whom, and that it stays small."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bellwire.client import Client
from bellwire.client.words import RequestTerms
from bellwire.runtime.metric_names import METRICS
from tests.northbound.conftest import Tokens
from tests.northbound.serving import PATIENCE_S, Served, until

Samples = dict[str, list[tuple[Mapping[str, str], float]]]
DOCUMENT = Path(__file__).parents[2] / "docs" / "observability.md"


def scraped(server: Served, token: str | None) -> httpx.Response:
    with server.call(token) as plain:
        return plain.get("/metrics")


def samples(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def total(found: Samples, name: str, **labels: str) -> float:
    return sum(value for told, value in found.get(name, []) if labels.items() <= told.items())


@pytest.fixture(scope="module")
def made(server: Served, tokens: Tokens) -> Samples:
    """The page after a request of five pairs was completed."""
    with Client(server.url, tokens.operator) as client:
        asked = client.submit(RequestTerms(target_nodes=["alice", "bob"], count=5))

        def completed() -> Iterator[bool]:
            while True:
                yield client.request(asked.request_id).status == "completed"

        until(completed(), "five pairs are delivered")
    answer = scraped(server, tokens.viewer)
    assert answer.headers["content-type"].startswith("text/plain")
    return samples(answer.text)


def test_pairs_are_counted_by_kind_with_their_fidelity_and_age(made: Samples) -> None:
    pairs = total(made, "bellwire_pairs_total", kind="bipartite", event="delivered")
    assert pairs >= 5
    assert total(made, "bellwire_pair_fidelity_ratio_count", kind="bipartite") == pairs
    assert 0.5 < total(made, "bellwire_pair_fidelity_ratio_sum") / pairs < 1.0
    assert total(made, "bellwire_pair_age_seconds_bucket", le="+Inf") == pairs
    buckets = [value for _, value in made["bellwire_pair_age_seconds_bucket"]]
    assert buckets == sorted(buckets), "buckets add up"
    assert total(made, "bellwire_requests", state="completed") >= 1


def test_processes_bus_instruments_links_and_ledgers_are_told(made: Samples) -> None:
    assert total(made, "bellwire_agent_up") == len(made["bellwire_agent_up"]) == 3
    assert total(made, "bellwire_agent_ready") == 3
    assert all(value >= 1 for _, value in made["bellwire_agent_incarnation"])
    assert {labels["version"] for labels, _ in made["bellwire_build_info"]} != {""}
    assert total(made, "bellwire_peer_up") == len(made["bellwire_peer_up"]) == 6
    assert total(made, "bellwire_instrument_ready") == len(made["bellwire_instrument_ready"]) > 3
    assert all(0 <= value < PATIENCE_S for _, value in made["bellwire_instrument_heard_age_seconds"])
    assert total(made, "bellwire_link_heralds_total") >= 10, "each herald reaches two ends"
    assert 0 < made["bellwire_link_fidelity_ratio"][0][1] <= 1
    assert total(made, "bellwire_ledger_facts_applied_total") > 0
    assert total(made, "bellwire_memory_slots", state="free") > 0
    assert {labels["class"] for labels, _ in made["bellwire_bus_queue_messages"]} == {
        "outcome", "delivery", "control", "facts", "digest", "backlog"
    }  # fmt: skip


def test_no_label_is_a_request_and_every_name_stands_in_the_table_and_in_the_guide(made: Samples) -> None:
    guide = DOCUMENT.read_text(encoding="utf-8")
    for name, told in made.items():
        plain = re.sub(r"_(bucket|count|sum)$", "", name)
        described = METRICS.get(name) or METRICS[plain]
        for labels, _ in told:
            assert set(labels) - {"le", "version", "python"} == set(described.labels)
    for name, described in METRICS.items():
        assert f"`{name}`" in guide
        assert not {"request", "pair", "request_id"} & set(described.labels)


def test_the_page_does_not_grow_with_requests(server: Served, tokens: Tokens, made: Samples) -> None:
    """Ten more requests, refused or not, add no series but perhaps states of requests."""

    def series(found: Samples) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        steady = {name for name in found if name != "bellwire_requests" and "health" not in name}
        return {(name, tuple(sorted(labels.items()))) for name in steady for labels, _ in found[name]}

    terms = RequestTerms(target_nodes=["alice", "bob"], count=1_000_000)
    with Client(server.url, tokens.operator) as client:
        for _ in range(10):
            client.cancel(client.submit(terms).request_id)
    after = samples(scraped(server, tokens.viewer).text)
    assert series(made) <= series(after)
    grown = {name for name, _ in series(after) - series(made)}
    assert grown <= {"bellwire_pairs_total"}


def test_a_viewers_token_is_needed(server: Served, tokens: Tokens) -> None:
    assert scraped(server, None).status_code == 401
    assert scraped(server, "bw_nonsense").status_code == 401
    assert scraped(server, tokens.viewer).status_code == 200


def test_agents_that_do_not_answer_are_down_and_nothing_else_is_said_of_them(alone: Served) -> None:
    found = samples(scraped(alone, None).text)
    assert total(found, "bellwire_agent_up") == 0
    assert len(found["bellwire_agent_up"]) == 3
    assert not any(name.startswith(("bellwire_link", "bellwire_peer", "bellwire_ledger")) for name in found)


def test_counters_never_fall_between_two_scrapes(server: Served, tokens: Tokens) -> None:
    first = samples(scraped(server, tokens.viewer).text)
    second = samples(scraped(server, tokens.viewer).text)
    for name, described in METRICS.items():
        if described.kind != "counter":
            continue
        before = {tuple(sorted(labels.items())): value for labels, value in first.get(name, [])}
        after = {tuple(sorted(labels.items())): value for labels, value in second.get(name, [])}
        assert all(after[key] >= value for key, value in before.items()), name
