"""Which request a fact is about, so that nodes need not hear of requests that they do not serve.

Owns the requests of all ends that live, as their births named them. Refuses chains: the ledgers fold those.
"""

from bellwire.core.facts import (
    Born,
    Claimed,
    Corrected,
    Fact,
    Fused,
    Released,
    Sacrificed,
    Swapped,
    Verdict,
)
from bellwire.core.ids import End, RequestId

Audience = RequestId | None
"""The request whose nodes a fact concerns; None: it concerns whoever follows its author."""


class Audiences:
    """The requests of living ends, from facts in the order in which their authors wrote them."""

    def __init__(self) -> None:
        self._requests: dict[End, RequestId] = {}

    def living(self) -> set[RequestId]:
        """The requests of ends that live."""
        return set(self._requests.values())

    def __contains__(self, end: End) -> bool:
        """True for an end that lives and has a request."""
        return end in self._requests

    def of_batch(self, facts: tuple[Fact, ...]) -> Audience:
        """The one request that all these facts are about; None where there is none, or several."""
        audience = self.of(facts[0])
        for fact in facts[1:]:
            if self.of(fact) != audience:
                audience = None
        return audience

    def of(self, fact: Fact) -> Audience:
        """The one request that the fact is about; None where there is none, or two."""
        requests = self._requests
        # Words have no subclasses, and isinstance that says no costs five times as much with a Struct.
        if type(fact) is Born:
            if fact.request is not None:
                requests[fact.end] = fact.request
            return fact.request
        if type(fact) is Swapped:
            left = requests.pop(fact.left, None)
            return left if requests.pop(fact.right, None) == left else None
        if type(fact) is Released:
            return requests.pop(fact.end, None)
        if type(fact) is Corrected or type(fact) is Verdict:
            return requests.get(fact.end)
        if type(fact) is Sacrificed:
            request = requests.pop(fact.end, None)
            return request if requests.get(fact.kept) == request else None
        if type(fact) is Fused:
            request = requests.pop(fact.measured, None)
            kept = requests.get(fact.kept) if fact.result == "ok" else requests.pop(fact.kept, None)
            return request if kept == request else None
        if type(fact) is Claimed:
            return None  # the request and the store that it leaves, whose nodes are others
        return None  # Began is about all ends of its author
