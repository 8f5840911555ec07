"""A fact concerns the nodes of its request; who serves another one is spared it, and nobody misses any."""

from typing import Any

import pytest

from bellwire.core.facts import Began, Born, Corrected, Fact, Fused, Released, Sacrificed, Swapped, Verdict
from bellwire.core.ids import End
from bellwire.core.messages import FactBatch
from bellwire.gem.audiences import Audiences
from bellwire.labs.paper_network import PaperNetwork, paper_lab
from bellwire.simulator_backend.author_logs import AuthorLogs

NO_COST = (0, 0, 0)


def end(attempt: int, side: int = 0) -> End:
    return End("l", 1, attempt, 0, side)


def born(attempt: int, request: str | None) -> Born:
    return Born(
        end=end(attempt),
        slot=0,
        generation=1,
        request=request,
        tree=0,
        frame=0,
        signs=0,
        cost=NO_COST,
        rates=NO_COST,
        at_ns=attempt,
        sigma_ns=0,
    )


def swapped(left: int, right: int) -> Swapped:
    return Swapped(left=end(left), right=end(right), result="ok", outcome=0, signs=0, cost=NO_COST, at_ns=9)


def fused(kept: int, measured: int, result: Any = "ok") -> Fused:
    return Fused(
        kept=end(kept),
        measured=end(measured),
        result=result,
        bit=0,
        kept_cost=NO_COST,
        measured_cost=NO_COST,
        mixed_cost=0,
        at_ns=9,
    )


def verdict(attempt: int) -> Verdict:
    return Verdict(
        end=end(attempt),
        far=end(attempt, 1),
        passed=True,
        rounds=1,
        frame=0,
        signs=0,
        cost=NO_COST,
        oldest_ns=0,
        at_ns=9,
    )


RELEASED = Released(end=end(1), reason="cutoff", at_ns=9)


@pytest.mark.parametrize(
    ("fact", "audience"),
    [
        (swapped(1, 2), "r"),
        (swapped(1, 3), None),  # of two requests
        (swapped(1, 4), None),  # with one that serves any request
        (swapped(1, 7), None),  # with one that nobody told of
        (RELEASED, "r"),
        (Released(end=end(4), reason="delivered", at_ns=9), None),
        (Corrected(end=end(1), pauli=1, at_ns=9), "r"),
        (verdict(2), "r"),
        (Sacrificed(end=end(1), kept=end(2), bit=0, at_ns=9), "r"),
        (Sacrificed(end=end(1), kept=end(3), bit=0, at_ns=9), None),
        (fused(1, 2), "r"),
        (fused(1, 3), None),
        (Began(incarnation=2, survivors=(), at_ns=9), None),
    ],
)
def test_a_fact_is_about_the_request_that_the_births_of_its_ends_named(
    fact: Fact, audience: str | None
) -> None:
    audiences = Audiences()
    assert [audiences.of(born(*one)) for one in ((1, "r"), (2, "r"), (3, "q"), (4, None))] == [
        "r",
        "r",
        "q",
        None,
    ]
    assert audiences.of(fact) == audience


def test_an_end_that_has_ended_is_forgotten_and_one_that_stays_is_not() -> None:
    audiences = Audiences()
    for attempt in (1, 2, 3, 4):
        audiences.of(born(attempt, "r"))
    assert audiences.of(fused(1, 2)) == "r"
    assert audiences.of(RELEASED) == "r"
    assert audiences.of(RELEASED) is None
    assert audiences.of(fused(3, 4, "failed")) == "r"
    assert audiences.of(Corrected(end=end(3), pauli=1, at_ns=9)) is None


def test_a_batch_about_two_requests_concerns_everybody() -> None:
    audiences = Audiences()
    assert audiences.of_batch((born(1, "r"), born(2, "r"))) == "r"
    assert audiences.of_batch((born(3, "r"), born(4, "q"))) is None
    assert audiences.of(swapped(1, 3)) == "r"


def facts_read(*, forgetting: bool) -> dict[str, list[Fact]]:
    """What three followers of one author read: one serves r, one q, one nothing."""
    lab = paper_lab(PaperNetwork(nodes=6, density=0.5, distance_km=None))
    author, *observers = list(lab.network.nodes)[:4]
    logs = AuthorLogs(lab.network, forgetting=forgetting)
    readers = dict(zip(("r", "q", "nothing"), map(logs.reader, observers), strict=True))
    readers["r"].serve("r")
    for reader in readers.values():
        reader.follow(author)
    readers["q"].serve("q")
    for number, fact in enumerate((born(1, "r"), born(2, "q"), born(3, None), born(4, "of nobody")), 1):
        logs.publish(author, FactBatch(incarnation=1, first=number, facts=(fact,), base=1), number)
    return {
        name: [fact for *_, facts in reader.visible(10**9) for fact in facts]
        for name, reader in readers.items()
    }


def test_followers_read_what_they_serve_and_what_is_nobodys_or_everybodys() -> None:
    ours, theirs, shared, strange = born(1, "r"), born(2, "q"), born(3, None), born(4, "of nobody")
    assert facts_read(forgetting=True) == {
        "r": [ours, shared, strange],
        "q": [theirs, shared, strange],
        "nothing": [shared, strange],
    }


def test_where_nodes_crash_followers_read_everything() -> None:
    assert set(map(len, facts_read(forgetting=False).values())) == {4}
