"""Whom an own fact concerns where ledgers keep to routes: the nodes that serve its request.

Owns which nodes serve which request, as plans say, and whom a fact that is of no one request concerns.
Refuses numbers and messages (`reader_streams.py`, `publishing.py`).

A pair in store may be claimed by any request whose way leads along its super-link. Therefore the nodes of
such a request serve the store too, from when the plan is in force (docs/adr/0027).
"""

from collections.abc import Iterable

from bellwire.core.facts import Fact, ends_named
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.plans import NodePlan
from bellwire.core.settings import NetworkSettings
from bellwire.gem.audiences import Audiences

Nodes = tuple[NodeId, ...]


class Interests:
    """Of one author: who serves what it serves."""

    def __init__(self, settings: NetworkSettings, node: NodeId) -> None:
        self._node = node
        self._links = settings.links
        self._age_max_ns = settings.timers.age_max_ns
        self._audiences = Audiences()
        self._centre: Nodes = () if settings.centre in (None, node) else (settings.centre,)
        stores = () if settings.stores is None else settings.stores.super_links
        self._stores: dict[RequestId, Nodes] = {link.request: link.route for link in stores}
        self._planned: dict[RequestId, Nodes] = {}  # of the plans of a request, the first ones included
        self._borrowed: dict[RequestId, set[RequestId]] = {}  # stores of which a request may take pairs
        self._ended_ns: dict[RequestId, int] = {}  # since when no plan of a request is in force here
        self._serving: dict[RequestId, Nodes] = {}
        self._curious: dict[End, Nodes] = {}  # who has asked about an own end that lives

    def install(self, plan: NodePlan, now_ns: int) -> list[tuple[RequestId, NodeId]]:
        """A plan is in force here: its nodes serve the request, as those of plans before it do.

        Returns who serves from now on what others served before.
        """
        request = plan.request
        nodes = [name for route in plan.routes for name in route]
        if plan.fusion is not None:
            nodes += plan.fusion.nodes
        self._ended_ns.pop(request, None)
        self._forget(now_ns)
        self._planned[request] = tuple(dict.fromkeys((*self._planned.get(request, ()), *nodes)))
        borrowed = {
            store
            for store, way in self._stores.items()
            if store != request and any(_leads_along(route, way) for route in plan.routes)
        }
        self._borrowed.setdefault(request, set()).update(borrowed)
        return [
            (changed, name)
            for changed in (request, *sorted(self._borrowed[request]))
            for name in self._serve(changed)
        ]

    def _serve(self, request: RequestId) -> Nodes:
        """Work out anew who serves a request; returns who is new, nobody where nobody served it before."""
        borrowers = [name for name, stores in self._borrowed.items() if request in stores]
        nodes = [name for each in (request, *borrowers) for name in self._planned.get(each, ())]
        known = self._serving.get(request)
        found = tuple(name for name in dict.fromkeys((*nodes, *self._centre)) if name != self._node)
        self._serving[request] = found
        return () if known is None else tuple(name for name in found if name not in known)

    def remove(self, request: RequestId, now_ns: int) -> None:
        """No plan of it is in force here any more; who served it does so until its pairs are gone."""
        if request in self._planned:
            self._ended_ns[request] = now_ns
            self._forget(now_ns)

    def _forget(self, now_ns: int) -> None:
        if not self._ended_ns:
            return
        living = self._audiences.living()
        for request, ended_ns in list(self._ended_ns.items()):
            # A pair that was claimed from a store is still called by its store's name.
            claims = self._borrowed[request] and now_ns - ended_ns < self._age_max_ns
            if request not in living and not claims:
                del self._ended_ns[request], self._planned[request], self._serving[request]
                for store in self._borrowed.pop(request):
                    self._serve(store)

    def serves_with(self, peer: NodeId) -> bool:
        """True when this node and that one serve a request together."""
        return any(peer in nodes for nodes in self._serving.values())

    def asked_about(self, end: End, node: NodeId) -> None:
        """What is written about this end concerns that node too, whatever plans say."""
        if end in self._audiences:
            self._curious[end] = tuple(dict.fromkeys((*self._curious.get(end, ()), node)))

    def concerned(self, fact: Fact, everybody: Iterable[NodeId]) -> Nodes:
        """Whom a fact concerns, each once, this node left out. Of every fact once, in their order.

        everybody: who was told anything in this incarnation; of a fact that no one request explains, they,
        whoever serves anything, and the other ends of its pairs.
        """
        more: Nodes = ()
        request = self._audiences.of(fact)
        if self._curious:
            for end in ends_named(fact):
                more += self._curious.get(end, ())
                if end not in self._audiences:
                    self._curious.pop(end, None)
        serving = None if request is None else self._serving.get(request)
        if serving is not None:
            return tuple(dict.fromkeys((*serving, *more))) if more else serving
        others = [name for nodes in self._serving.values() for name in nodes]
        others += [self._links[end.link].nodes[1 - end.side] for end in ends_named(fact)]
        return tuple(dict.fromkeys((*everybody, *others, *self._centre, *more)))


def _leads_along(route: Nodes, way: Nodes) -> bool:
    """The way, in one direction or the other, is a part of the route."""
    length = len(way)
    return any(route[at : at + length] in (way, way[::-1]) for at in range(len(route) - length + 1))
