"""The ledger as chains of pairs: how many there are between which nodes, how old, how good.

Owns the joining of what several replicas tell, and its bound: whatever a network makes, the page gets a few
rows of sums and the oldest pairs. Refuses the ledger itself (bellwire.gem). Replicas that keep to routes know
different rows; the same row from two of them counts once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bellwire.core.ids import NodeId
from bellwire.page.heard import Heard
from bellwire.page.values import Row, Shown, duration_text

KINDS_SHOWN: Final = 24
OLDEST_SHOWN: Final = 12
ROWS_ASKED: Final = 300
"""Of each replica, the oldest ones."""
GOOD_FOR_S: Final = 5.0

KIND_COLUMNS: Final = (
    ("chain", "Chain"),
    ("request", "For"),
    ("count", "Pairs"),
    ("oldest", "Oldest"),
    ("fidelity", "Fidelity, mean"),
    ("least", "lowest"),
)
PAIR_COLUMNS: Final = (("chain", "Chain"), ("request", "For"), ("age", "Age"), ("fidelity", "Fidelity"))


@dataclass(slots=True)
class _Kind:
    count: int = 0
    oldest_ns: int = 0
    fidelities: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What is shown of the ledger. `told`: rows that were told; `count`: the most that one replica has."""

    kinds: tuple[Row, ...]
    oldest: tuple[Row, ...]
    told: int
    count: int
    at_ns: int  # unix time of the latest answer; 0: there was none

    @property
    def sentence(self) -> str:
        """The whole of it in words."""
        if not self.at_ns:
            return "No ledger was told yet."
        if not self.told:
            return "No pair is in memory."
        more = f"; sums are over the {self.told} oldest that were told" if self.count > self.told else ""
        pairs = max(self.count, self.told)
        return f"{pairs} {'pair' if pairs == 1 else 'pairs'} in memory{more}."


def ledger_view(heard: Heard) -> LedgerView:
    """The ledgers of all nodes together; last words of silent nodes are left out: pairs live for moments."""
    rows: dict[tuple[str, ...], Mapping[str, Any]] = {}
    count, at_ns = 0, 0
    for node, word in heard.ledgers.items():
        if node in heard.silent:
            continue
        count, at_ns = max(count, word.answer["count"]), max(at_ns, word.at_ns)
        for row in word.answer["rows"]:
            rows.setdefault(tuple(row["ends"]), row)
    kinds: dict[tuple[NodeId, NodeId, str | None, int], _Kind] = {}
    for row in rows.values():
        first, last = row["end_nodes"]
        kind = kinds.setdefault((first, last, row["request"], row["hops"]), _Kind())
        kind.count += 1
        kind.oldest_ns = max(kind.oldest_ns, row["age_ns"])
        kind.fidelities.append(row["fidelity"])
    ordered = sorted(kinds.items(), key=lambda one: (-one[0][3], -one[1].count, one[0][:2], str(one[0][2])))
    oldest = sorted(rows.values(), key=lambda row: -row["age_ns"])[:OLDEST_SHOWN]
    return LedgerView(
        kinds=tuple(_kind_row(*key, kind, at_ns) for key, kind in ordered[:KINDS_SHOWN]),
        oldest=tuple(_pair_row(row, at_ns) for row in oldest),
        told=len(rows),
        count=count,
        at_ns=at_ns,
    )


def _chain(first: NodeId, last: NodeId, hops: int) -> Shown:
    return Shown(f"{first} {'–○' * (hops - 1)}– {last}", title="1 link" if hops == 1 else f"{hops} links")


def _kind_row(first: NodeId, last: NodeId, request: str | None, hops: int, kind: _Kind, at_ns: int) -> Row:
    mean = sum(kind.fidelities) / len(kind.fidelities)

    def shown(text: str) -> Shown:
        return Shown(text, at_ns=at_ns, good_for_s=GOOD_FOR_S)

    return Row(
        f"{first} {last} {request} {hops}",
        {
            "chain": _chain(first, last, hops),
            "request": Shown(request or "nobody yet"),
            "count": shown(f"{kind.count}"),
            "oldest": shown(duration_text(kind.oldest_ns / 1e9)),
            "fidelity": shown(f"{mean:.3f}"),
            "least": shown(f"{min(kind.fidelities):.3f}"),
        },
    )


def _pair_row(row: Mapping[str, Any], at_ns: int) -> Row:
    first, last = row["end_nodes"]
    return Row(
        " ".join(row["ends"]),
        {
            "chain": _chain(first, last, row["hops"]),
            "request": Shown(row["request"] or "nobody yet"),
            "age": Shown(duration_text(row["age_ns"] / 1e9), at_ns=at_ns, good_for_s=GOOD_FOR_S),
            "fidelity": Shown(f"{row['fidelity']:.3f}", at_ns=at_ns, good_for_s=GOOD_FOR_S),
        },
    )
