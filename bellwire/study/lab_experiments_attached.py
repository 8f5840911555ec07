"""A lab that is up, asked by its control sockets: one request or one CREATE followed to its end.

Owns asking, waiting and taking back, and the reading of the emulated World's truth. Refuses processes and
instruments. Whoever is cancelled while waiting takes back what was asked: nothing goes on being served for
nobody.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from bellwire.core.errors import ConfigError
from bellwire.core.ids import End, NodeId
from bellwire.core.link_words import LinkAnswer, LinkCreate
from bellwire.core.plans import EntanglementRequest
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab
from bellwire.runtime.control import ask, socket_path
from bellwire.runtime.supervisor import EMULATOR
from bellwire.study.lab_experiments import Planned, Row
from bellwire.study.lab_experiments_folding import CreateFolding, RequestFolding, create_of
from bellwire.study.lab_experiments_samples import row_of

POLL_S: Final = 0.1
SILENT_S: Final = 60.0
"""An agent that says nothing for so long is not coming back by itself."""
OVERDUE_S: Final = 20.0
"""A request or CREATE ends by itself at its deadline; so much later nobody waits for its last word."""
TRUTH_LOOKS: Final = 10
"""So often the World is asked for pairs that it has not shown yet; what is still in memory then stays so."""


class AttachedLab:
    """The processes of one state directory. truth: file of the emulated World, None: nobody knows it."""

    def __init__(self, lab: Lab, state: Path, truth: Path | None) -> None:
        self.lab = lab
        self.state = state
        self._truth = TruthReader(truth) if truth is not None else None

    async def ask(self, name: str, do: str, **fields: Any) -> Any:
        """Ask a process. Raises ConfigError when it does not answer or refuses."""
        return await ask(self.state, name, do, **fields)

    async def measure(self, planned: Planned) -> Row:
        """One repetition; the row has `began_ns` and the name under which the lab has it."""
        await self._pass_by()
        request, target = planned.measurement.request, planned.target
        if target.link is None:
            name = f"{request.request_id}-{secrets.token_hex(4)}"
            folding: RequestFolding | CreateFolding = await self._request(
                msgspec.structs.replace(request, request_id=name)
            )
        else:
            create = secrets.randbelow(1 << 16)
            name = f"create {create}"
            link = self.lab.network.links[target.link]
            within_ns = self._within_ns(request)
            asked = create_of(request, link, create, target.partner, target.fidelity_min, within_ns)
            folding = await self._create(asked, target.source, by_clock=request.duration_ns is not None)
        await self._take_truth(folding)
        return row_of(folding.pairs) | {"began_ns": folding.pairs.submitted_ns, "asked_as": name}

    def _within_ns(self, request: EntanglementRequest) -> int:
        return request.duration_ns or request.deadline_ns or self.lab.network.timers.request_ns

    # ---- a request

    async def _request(self, request: EntanglementRequest) -> RequestFolding:
        source = request.target_nodes[0]
        folding = RequestFolding(request, time.time_ns(), correct_frames=self.lab.network.correct_frames)
        await self.ask(source, "submit", request=msgspec.to_builtins(request))
        try:
            await self._follow_request(folding, source, self._within_ns(request))
        except BaseException:
            await self._take_back(source, "cancel", request=request.request_id)
            raise
        return folding

    async def _follow_request(self, folding: RequestFolding, source: NodeId, within_ns: int) -> None:
        after, patience = 0, Patience(within_ns)
        while not folding.ended:
            try:
                reports: list[dict[str, Any]] = await self.ask(source, "reports", after=after)
                patience.heard()
            except ConfigError as silence:
                after = 0  # it restarts, and numbers its reports from 1 again
                patience.silent(silence)
                reports = []
            if reports:
                after = reports[-1]["number"]
            for one in reports:
                folding.take(one["at_ns"], one["name"], one["request"], one["fields"])
            if not folding.ended:
                if patience.over():
                    await self._take_back(source, "cancel", request=folding.request_id)
                    folding.give_up(time.time_ns(), "its source has not said that it ended")
                    return
                await asyncio.sleep(POLL_S)

    # ---- a CREATE

    async def _create(self, asked: LinkCreate, source: NodeId, *, by_clock: bool) -> CreateFolding:
        earlier = await self.ask(source, "link_answers", create=asked.create)
        after = earlier[-1]["number"] if earlier else 0
        folding = CreateFolding(asked, source, time.time_ns(), by_clock=by_clock)
        await self.ask(source, "create", asked=msgspec.to_builtins(asked))
        try:
            await self._follow_create(folding, after)
        except BaseException:
            await self._take_back(source, "cancel_create", create=asked.create)
            raise
        return folding

    async def _follow_create(self, folding: CreateFolding, after: int) -> None:
        source, asked = folding.source, folding.asked
        patience = Patience(asked.within_ns or 0)
        while not folding.ended:
            answers = await self.ask(source, "link_answers", after=after, create=asked.create)
            for one in answers:
                after = one["number"]
                folding.take(one["at_ns"], msgspec.convert(one["answer"], LinkAnswer))
            if not folding.ended:
                if patience.over():
                    await self._take_back(source, "cancel_create", create=asked.create)
                    folding.give_up(time.time_ns(), "its link has not said that it ended")
                    return
                await asyncio.sleep(POLL_S)

    async def _take_back(self, node: NodeId, do: str, **fields: Any) -> None:
        with suppress(ConfigError):  # who does not answer any more serves nobody either
            await self.ask(node, do, **fields)

    # ---- the World

    async def _pass_by(self) -> None:
        """What the World has shown so far belongs to others."""
        if self._truth is not None:
            await self._flush()
            self._truth.skip()

    async def _take_truth(self, folding: RequestFolding | CreateFolding) -> None:
        for _ in range(TRUTH_LOOKS if self._truth is not None else 0):
            assert self._truth is not None
            await self._flush()
            self._truth.show(folding)
            if not folding.truths.missing:
                return
            await asyncio.sleep(POLL_S)

    async def _flush(self) -> None:
        with suppress(ConfigError):  # without its emulator a lab has no truth to tell
            await self.ask(EMULATOR, "status")


class Patience:
    """How long an answer is waited for."""

    def __init__(self, within_ns: int) -> None:
        now_s = time.monotonic()
        self._until_s = now_s + within_ns / NS_PER_S + OVERDUE_S
        self._heard_s = now_s

    def heard(self) -> None:
        """The agent answers."""
        self._heard_s = time.monotonic()

    def silent(self, silence: ConfigError) -> None:
        """It does not. Raises the silence when it has lasted too long."""
        if time.monotonic() - self._heard_s > SILENT_S:
            raise silence

    def over(self) -> bool:
        """Whether the last word is overdue."""
        return time.monotonic() > self._until_s


class TruthReader:
    """The World's file of pairs that were used up, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = 0

    def skip(self) -> None:
        """Pass over all that is there."""
        if self._path.exists():
            self._place = self._path.stat().st_size

    def show(self, folding: RequestFolding | CreateFolding) -> None:
        """Show a folding what has come since."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._place)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # the rest of it comes later
                self._place += len(line)
                entry: Mapping[str, Any] = json.loads(line)
                truth = entry.get("truth")
                if truth is None or entry["operation"].startswith(("pauli", "rotation")):
                    continue
                one, other = (End(*end) for end in truth["ends"])
                folding.truths.show(one, other, truth["frame"], truth["fidelity"])


def emulator_answers(state: Path) -> bool:
    """Whether a state directory has an emulator's control socket."""
    return socket_path(state, EMULATOR).exists()
