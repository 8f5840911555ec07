"""Durable storage in virtual time: incarnations and records that survive a crash, and nothing else.

Owns what each node has persisted, with the latency that a real disk would have. What was ordered but not yet
persisted when a node crashes is lost.
"""

from bellwire.core.events import Record
from bellwire.core.ids import NodeId


class VirtualStore:
    """The stores of all nodes."""

    def __init__(self) -> None:
        self._incarnations: dict[NodeId, int] = {}
        self._records: dict[NodeId, dict[tuple[str, str], Record]] = {}

    def next_incarnation(self, node: NodeId) -> int:
        """Written before the first event of a process."""
        number = self._incarnations.get(node, 0) + 1
        self._incarnations[node] = number
        return number

    def write(self, node: NodeId, record: Record) -> None:
        """A later record of the same kind and key replaces the earlier one, and moves to the end."""
        records = self._records.setdefault(node, {})
        records.pop((record.kind, record.key), None)
        records[record.kind, record.key] = record

    def lose_records(self, node: NodeId) -> None:
        """The node gets a new disk. Its incarnation is not repeated, for its peers would refuse it."""
        self._records.pop(node, None)

    def records(self, node: NodeId) -> tuple[Record, ...]:
        """What a restarting node finds, in the order in which it was written."""
        return tuple(self._records.get(node, {}).values())
