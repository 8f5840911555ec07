"""What a person wants planned, and how: the options of `bellwire plan` as values that fit together.

Owns which options exclude each other. Refuses their meaning (plan_making.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from bellwire.core.errors import ConfigError

Kind = Literal["pair", "batch", "ghz", "graph", "order", "store"]

OPTIONS: Final[dict[Kind, str]] = {
    "pair": "--from and --to",
    "batch": "--requests",
    "ghz": "--ghz",
    "graph": "--graph",
    "order": "--consume",
    "store": "--predistribution",
}
"""How each kind of plan is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Exactly one thing to plan. Raises ConfigError for none and for two."""

    source: str | None = None
    destination: str | None = None
    requests: Path | None = None
    ghz: tuple[str, ...] | None = None
    graph: Path | None = None
    consume: Path | None = None
    predistribution: Path | None = None

    def __post_init__(self) -> None:
        if (self.source is None) != (self.destination is None):
            missing = "--to" if self.destination is None else "--from"
            raise ConfigError(f"a pair has two ends: {missing} is missing")
        if len(self._given) != 1:
            ways = ", ".join(OPTIONS.values())
            given = " and ".join(OPTIONS[kind] for kind in self._given)
            raise ConfigError(
                f"{given} cannot be planned in one go" if given else f"what is to be planned? One of {ways}"
            )

    @property
    def kind(self) -> Kind:
        """What is to be planned."""
        return self._given[0]

    @property
    def _given(self) -> list[Kind]:
        values: dict[Kind, object] = {
            "pair": self.source,
            "batch": self.requests,
            "ghz": self.ghz,
            "graph": self.graph,
            "order": self.consume,
            "store": self.predistribution,
        }
        return [kind for kind, value in values.items() if value is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How to look for a plan, as it was typed; None: not said."""

    method: str | None = None
    route: tuple[str, ...] | None = None
    avoid: tuple[str, ...] = ()
    waiting: str = "three_halves"
    throttle: bool = True
    scheme: str = "dejmps"
    rounds: int = 2
    objective: str | None = None
    single_method: str | None = None
    solver: str | None = None
    partly: bool = False
    beside: Path | None = None
    give: float | None = None
    order: str | None = None
    fidelity: float | None = None
    max_age_s: float = 60.0
    max_leaves: int | None = None
    rate_hz: float | None = None
    execution_s: float | None = None
    budget_attempts: float | None = None

    def check(self, wishes: Wishes) -> None:
        """Every option belongs to what is wanted. Raises ConfigError for the first that would do nothing."""
        batch: tuple[Kind, ...] = ("batch",)
        belongs: dict[str, tuple[object, tuple[Kind, ...]]] = {
            "--route": (self.route, ("pair",)),
            "--rate": (self.rate_hz, ("pair",)),
            "--objective": (self.objective, batch),
            "--single-method": (self.single_method, batch),
            "--solver": (self.solver, batch),
            "--partly": (self.partly or None, batch),
            "--beside": (self.beside, batch),
            "--give": (self.give, batch),
            "--order": (self.order, ("order",)),
            "--execution": (self.execution_s, ("order",)),
            "--budget": (self.budget_attempts, ("store",)),
        }
        for option, (value, kinds) in belongs.items():
            if value is not None and wishes.kind not in kinds:
                raise ConfigError(
                    f"{option} is for {OPTIONS[kinds[0]]}; it says nothing about {OPTIONS[wishes.kind]}"
                )
        if self.give is not None and self.beside is None:
            raise ConfigError("--give is for --beside: it says what running requests give up")
        if wishes.kind == "batch" and self.method == "levels" and self.single_method is not None:
            raise ConfigError(
                "--single-method is for method iterative; in method levels the programme makes trees"
            )
