"""What must hold when a history is over and everything has drained.

Owns the rules of the end. Refuses those of single steps (rules.py).
"""

from collections.abc import Mapping, Sequence

from bellwire.core.ids import NodeId, RequestId
from bellwire.node.machines import QuantumNode
from bellwire.simulator_backend.simulation import Observer
from bellwire.soak.rules import Broken
from bellwire.soak.troubled_host import TroubledHost

FOR_EVER_NS = 1 << 63


def check_end(
    host: TroubledHost,
    observer: Observer,
    ended: Mapping[RequestId, Sequence[tuple[NodeId, str, int]]],
    *,
    whole: bool,
) -> bool:
    """True when nothing was at work any more, so that all was looked at. `ended`: final reports of requests:
    who, status, pairs told. `whole`: the history was long enough for all requests to end.

    Raises:
        Broken: something is left over, counted twice, or known to one and not to the other.
    """
    forgetful = {node for _, node, forgets in host.restarts if forgets}
    for request in host.lab.requests:
        name = request.request_id
        reports = ended.get(name, ())
        asked_of = request.target_nodes[0]
        if whole and not reports and asked_of not in forgetful:
            raise Broken("definite end", f"{name} has no final status")
        if len(reports) > 1 and asked_of not in forgetful:
            raise Broken("one end", f"{name}: {list(reports)}")
        if request.count is not None and asked_of not in forgetful:
            _check_count(host, name, request.count, asked_of, reports)
        _check_lists(host, name, request.target_nodes, forgetful)
        if observer.outcomes[name].frame_errors:
            raise Broken("frames", f"{name}: {observer.outcomes[name].frame_errors} with a wrong frame")
    at_rest = whole and not _fills_stores(host)
    if at_rest:
        _check_rest(host)
    return at_rest


def _fills_stores(host: TroubledHost) -> bool:
    """A store that is refilled makes pairs for ever, and one that is filled once until it is full."""
    if host.network.stores is None:
        return False
    return host.network.stores.continuous or any(
        store.filling
        for machine in host.machines.values()
        if isinstance(machine, QuantumNode) and machine.predistribution is not None
        for store in machine.predistribution.stores.values()
    )


def _check_count(
    host: TroubledHost,
    request: RequestId,
    count: int,
    source: NodeId,
    reports: Sequence[tuple[NodeId, str, int]],
) -> None:
    """What was told as completed is complete, and not more than was asked for and under way."""
    machine = host.machines[source]
    assert isinstance(machine, QuantumNode)
    assert machine.delivery is not None
    settled = machine.delivery.delivered_count(request)
    for _, status, told in reports:
        # The last pair of a request that has just failed may be settled a moment later.
        if (status == "completed" and settled < count) or (status == "failed" and told >= count):
            raise Broken("complete", f"{request} {status} with {told} of {count}, settled are {settled}")
    if settled > count:
        raise Broken("no more than asked for", f"{request}: {settled} of {count}")


def _check_lists(
    host: TroubledHost, request: RequestId, members: Sequence[NodeId], forgetful: set[NodeId]
) -> None:
    """All members have the same list, and no end in it twice; of GHZ states each knows its own end beside
    the head's."""
    lists = {}
    alike = {}
    for name in members:
        machine = host.machines[name]
        assert isinstance(machine, QuantumNode)
        if machine.delivery is None:
            continue
        lists[name] = [
            (record.number, record.head_end, record.tail_end, record.frame)
            for record in machine.delivery.records(request)
            if record.state != "void"
        ]
        ends = [end for _, head, tail, _ in lists[name] for end in (head, tail)]
        if len(ends) != len(set(ends)):
            raise Broken("delivered once", f"{request} at {name}: an end was delivered twice")
        alike[name] = tuple(one if len(members) == 2 else (one[0], one[1], one[3]) for one in lists[name])
        numbers = [number for number, *_ in lists[name]]
        if numbers != sorted(set(numbers)):
            raise Broken("numbered once", f"{request} at {name}: {numbers}")
    if forgetful.isdisjoint(members) and len(set(alike.values())) > 1:
        texts = {name: [str(pair) for pair in one][-5:] for name, one in alike.items()}
        raise Broken("equal lists", f"{request}: {texts}")


def _check_rest(host: TroubledHost) -> None:
    """No slot is taken, no qubit is left, and all replicas are one."""
    views: dict[str, list[NodeId]] = {}
    scoped = host.network.ledgers == "routes"
    for name, settings in host.network.nodes.items():
        if settings.memory is None:
            continue
        machine = host.machines[name]
        assert isinstance(machine, QuantumNode)
        stuck = [slot for slot in machine.slots.slots() if slot.state != "free"]
        if stuck:
            raise Broken("slots free", f"{name}: {stuck}")
        if host.world.occupied(name):
            raise Broken("memory empty", f"{name} still holds qubits in the World")
        alive = [str(end) for end, record in machine.replica.fold.ends.items() if record.born is not None]
        if alive:
            raise Broken("nothing left in the ledger", f"{name}: {alive[:10]}")
        if machine.replica.fold.labels_differ:
            raise Broken(
                "halves agree", f"{name}: {machine.replica.fold.labels_differ} pairs of two requests"
            )
        if scoped:
            _check_told(host, name, machine)
            continue
        machine.replica.fold.forget(FOR_EVER_NS)
        marks = sorted(machine.replica.watermarks().items())
        views.setdefault(f"{marks} {machine.replica.fold.digest()}", []).append(name)
    if len(views) > 1:
        raise Broken("one ledger", "; ".join(f"{nodes}: {view}" for view, nodes in views.items()))


def _check_told(host: TroubledHost, name: NodeId, machine: QuantumNode) -> None:
    """A node has all that others wrote for it."""
    known = machine.replica.watermarks()
    for author, other in host.machines.items():
        if author != name and isinstance(other, QuantumNode):
            mark = other.gem.publishing.watermark(name)
            if mark.last and known.get(author) != (mark.incarnation, mark.last):
                raise Broken("all that was told", f"{name} knows {known.get(author)} of {author}: {mark}")
