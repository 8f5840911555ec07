"""A user of the link service on a running lab: CREATE and answers by the control channel, and the replay."""

from pathlib import Path
from typing import Any

from bellwire.core.codec import decode_event
from bellwire.core.events import LinkCreateSubmitted, Started
from bellwire.runtime.control import ask
from bellwire.runtime.node_process import machine_factory
from bellwire.runtime.replay import replay_run
from bellwire.runtime.trace import read_steps
from tests.hosts.live import LiveLab, lab_up, live_lab, wait_for

KEEP = {"create": 1, "partner": "bob", "count": 3, "kind": "keep"}
MEASURE = {
    "create": 2,
    "partner": "bob",
    "count": 12,
    "kind": "measure",
    "local": {"random": "XZ", "first": 128},
    "remote": {"random": "CHSH", "first": 128},
}
NOBODY = {"create": 3, "partner": "carol", "count": 1}


class User:
    """Polls the answers of both nodes."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.answers: dict[str, list[dict[str, Any]]] = {"alice": [], "bob": []}
        self._last = {"alice": 0, "bob": 0}

    async def ask(self, node: str, do: str, **fields: Any) -> Any:
        return await ask(self._state, node, do, **fields)

    async def has(self, node: str, kind: str, create: int, count: int = 1) -> bool:
        for one in await self.ask(node, "link_answers", after=self._last[node]):
            assert one["number"] == self._last[node] + 1, "an answer is missing"
            self._last[node] = one["number"]
            self.answers[node].append(one["answer"])
        return len(self.of(node, kind, create)) >= count

    def of(self, node: str, kind: str, create: int) -> list[dict[str, Any]]:
        return [one for one in self.answers[node] if (one["t"], one["create"]) == (kind, create)]


def sides(oks: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Pairs by name and number, without the side."""
    return sorted((one["sequence"], *one["end"][:4]) for one in oks)


async def use(live: LiveLab, user: User) -> None:
    await wait_for(live.is_ready, "the lab is ready")
    assert await user.ask("alice", "create", asked=KEEP) == {"create": 1}
    for node in ("alice", "bob"):
        await wait_for(lambda node=node: user.has(node, "LinkOkKeep", 1, 3), f"three pairs at {node}")
    assert sides(user.of("alice", "LinkOkKeep", 1)) == sides(user.of("bob", "LinkOkKeep", 1))
    for node in ("alice", "bob"):
        for told in user.of(node, "LinkOkKeep", 1):
            await user.ask(node, "release_qubit", end=told["end"])
    await user.ask("alice", "create", asked=MEASURE)
    await user.ask("alice", "create", asked=NOBODY)
    await wait_for(lambda: user.has("alice", "LinkErr", 3), "a partner that no link leads to")
    for node in ("alice", "bob"):
        await wait_for(lambda node=node: user.has(node, "LinkOkMeasure", 2, 12), f"twelve bits at {node}")
    await wait_for(live.all_slots_free, "nothing is held any more")


async def test_a_user_gets_pairs_and_bits_of_a_live_link_and_the_run_replays_with_its_seeds(
    tmp_path: Path,
) -> None:
    lab = live_lab(tmp_path, "two_node_link")
    user = User(tmp_path / "state")
    async with lab_up(lab, tmp_path / "state") as live:
        await use(live, user)
    here, there = user.of("alice", "LinkOkMeasure", 2), user.of("bob", "LinkOkMeasure", 2)
    assert sides(here) == sides(there)
    assert {one["basis"] for one in here} == {"X", "Z"}
    assert {one["basis"] for one in there} == {"Z+45", "Z-45"}
    run_dir = live.supervisor.run_dir
    report = replay_run(run_dir, lab.network, machine_factory(lab))
    assert report["same"], report
    seeds = []
    for node in ("alice", "bob"):
        (steps,) = (run_dir / "agents" / node).glob("steps-*")
        events = [decode_event(entry.event) for entry in read_steps(steps)]
        assert isinstance(events[0], Started)
        seeds.append(events[0].seed)
        creates = [event.asked.create for event in events if isinstance(event, LinkCreateSubmitted)]
        assert creates == ([1, 2, 3] if node == "alice" else [])
        (answers,) = (run_dir / "agents" / node).glob("answers-*")
        assert len(answers.read_bytes().splitlines()) >= len(user.answers[node])
    assert 0 not in seeds
    assert seeds[0] != seeds[1]
