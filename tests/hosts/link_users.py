"""Users of the links of a running lab: CREATEs and their answers by the control channel, event by event.

Owns the asking and the times of what was answered. Refuses judgement: tests say what must have come.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bellwire.core.errors import ConfigError
from bellwire.runtime.control import ask

SECOND_NS = 1_000_000_000

Answer = dict[str, Any]


class LinkUsers:
    """The users of all nodes of a lab."""

    def __init__(self, state: Path) -> None:
        self._state = state

    async def create(self, node: str, create: int, partner: str, **terms: Any) -> None:
        """Send a CREATE at a node."""
        await ask(self._state, node, "create", asked={"create": create, "partner": partner, **terms})

    async def answers(self, node: str, create: int) -> list[Answer]:
        """What a node has answered about a CREATE since its process began, with times; none while it
        restarts."""
        try:
            told = await ask(self._state, node, "link_answers", create=create)
        except ConfigError:
            return []
        return [one["answer"] | {"told_ns": one["at_ns"]} for one in told]

    async def of(self, node: str, create: int, *kinds: str) -> list[Answer]:
        """Those of some kinds, for example LinkOkKeep."""
        return [one for one in await self.answers(node, create) if one["t"] in kinds]

    def told(self, node: str, create: int, kind: str, count: int = 1) -> Callable[[], Awaitable[bool]]:
        """A condition: so many answers of a kind have come."""

        async def holds() -> bool:
            return len(await self.of(node, create, kind)) >= count

        return holds

    def expired(self, node: str, create: int, pairs: int) -> Callable[[], Awaitable[bool]]:
        """A condition: so many pairs of the CREATE were taken back."""

        async def holds() -> bool:
            return sum(len(one["ends"]) for one in await self.of(node, create, "LinkErr")) >= pairs

        return holds

    def ended(self, node: str, create: int) -> Callable[[], Awaitable[bool]]:
        """A condition: the CREATE has had its last answer, apart from EXPIRE."""

        async def holds() -> bool:
            return bool(await self.ends(node, create))

        return holds

    async def ends(self, node: str, create: int) -> list[Answer]:
        """Its last answers: one, unless something is wrong."""
        found = await self.of(node, create, "LinkDone", "LinkErr")
        return [one for one in found if one.get("code") != "EXPIRE"]

    async def release(self, node: str, create: int) -> None:
        """Let go of every qubit that a node keeps for a CREATE."""
        for one in await self.of(node, create, "LinkOkKeep"):
            await ask(self._state, node, "release_qubit", end=one["end"])
