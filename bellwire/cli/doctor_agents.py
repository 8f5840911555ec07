"""The looks of `bellwire doctor` at agents: who runs, what they speak, their instruments, links and requests.

Owns these looks. Refuses to touch anything: agents are asked what they know already.
"""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bellwire.cli.doctor_words import Finding, Limits
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.labs import Lab

Answers = Mapping[str, Mapping[str, Any] | None]

HERALDS_MIN = 14.0
"""Expected within the look before their absence means anything: by chance once in a million looks."""
SHORTFALL_SIGMAS = 5.0
"""Of the Poisson error of what was promised: a request that keeps its promise is named once in 3 million."""


async def look_at_agents(
    lab: str, loaded: "Lab", state: Path, limits: Limits
) -> tuple[Answers, list[Finding]]:
    """The answers of all agents (None: silent), and what is wrong with them."""
    from bellwire.cli.lab_status import ask_all
    from bellwire.runtime.control import ask

    answers = await ask_all(loaded, state)
    try:
        supervisor: Mapping[str, Any] | None = await ask(state, "supervisor", "status", within_s=2.0)
    except ConfigError:
        supervisor = None
    findings = [*_running(lab, loaded, state, answers, supervisor), *_versions(loaded, answers)]
    for name, answer in answers.items():
        if answer is not None:
            findings += _instruments(lab, name, answer, state)
            findings += await _stale_values(lab, name, loaded, state)
            if answer["clock_steps_back"]:
                findings.append(
                    Finding(
                        "warning",
                        f"the clock under {name} stepped back {answer['clock_steps_back']} times",
                        f"bellwire status {lab} --json",
                        "let chrony slew instead of step: `makestep 1 3` in /etc/chrony/chrony.conf",
                    )
                )
    findings += await _links(lab, loaded, state, answers, limits)
    findings += await _requests(lab, state, answers)
    return answers, findings


def _running(
    lab: str, loaded: "Lab", state: Path, answers: Answers, supervisor: Mapping[str, Any] | None
) -> Iterator[Finding]:
    silent = [name for name, answer in answers.items() if answer is None]
    if supervisor is None and len(silent) == len(answers):
        if state.exists():
            yield Finding(
                "note", "the lab is not up", "no agent answers", f"bellwire up {lab} --state {state}"
            )
        return
    refused = {} if supervisor is None else supervisor["refused"]
    for name in silent:
        if name in refused:
            yield Finding(
                "error",
                f"{name} refuses to run: {refused[name]}",
                "the supervisor",
                f"mend that, then: bellwire restart {lab} {name} --state {state}",
            )
            continue
        last = last_log_line(state, loaded, name)
        remedy = f"bellwire restart {lab} {name} --state {state}"
        if supervisor is None:
            remedy = f"systemctl restart bellwire-node@{name}; or bellwire node {lab} {name} --state {state}"
        yield Finding(
            "error", f"{name} does not run; its last word: {last}", "its control socket is silent", remedy
        )
    for name, count in ({} if supervisor is None else supervisor["restarts"]).items():
        crash = last_crash_line(state, loaded, name)
        yield Finding(
            "warning",
            f"{name} ended unasked and was started again {count} times; {crash}",
            "the supervisor",
            f"read {_log(state, loaded, name)}",
        )


def _log(state: Path, loaded: "Lab", name: str) -> Path:
    logs = sorted((state / "runs").glob(f"*-{loaded.name}-*/logs/{name}.log"))
    return logs[-1] if logs else state / "runs"


def last_log_line(state: Path, loaded: "Lab", name: str) -> str:
    """Of the latest run."""
    lines = _lines(_log(state, loaded, name))
    return (
        lines[-1] if lines else "none (it never ran here; systemd has its log: journalctl -u bellwire-node)"
    )


def last_crash_line(state: Path, loaded: "Lab", name: str) -> str:
    """The last line before the latest start."""
    lines = _lines(_log(state, loaded, name))
    starts = [number for number, line in enumerate(lines) if '"agent_started"' in line]
    before = lines[: starts[-1]] if starts else []
    return f"before that it said: {before[-1]}" if before else "it said nothing before that"


def _lines(path: Path) -> list[str]:
    """The end of a log: 64 KiB, each line cut to 300 characters."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65_536))
        text = file.read().decode("utf-8", "replace")
    return [line[:300] for line in text.splitlines() if line.strip()]


def _versions(loaded: "Lab", answers: Answers) -> Iterator[Finding]:
    from bellwire import __version__
    from bellwire.core.messages import SCHEMA_VERSION

    told: set[str] = set()
    for name, answer in answers.items():
        for version in () if answer is None else answer["peer_versions"].values():
            if version["refused"] and version["problem"] not in told:
                told.add(version["problem"])
                yield Finding(
                    "error",
                    f"{name}: {version['problem']}",
                    f"frames of another schema at {name}",
                    "pip install --upgrade bellwire on the older computer, then: systemctl restart its agent",
                )
    software = {name: answer["software"] for name, answer in answers.items() if answer is not None}
    for name, answer in answers.items():
        if answer is not None and answer["schema"] == SCHEMA_VERSION and software[name] != __version__:
            yield Finding(
                "warning",
                f"{name} runs bellwire {software[name]}, this is {__version__}: restart it after an update",
                "its own word",
                f"bellwire restart {loaded.path or loaded.name} {name}",
            )


def _instruments(lab: str, name: str, answer: Mapping[str, Any], state: Path) -> Iterator[Finding]:
    for instrument, told in answer["instruments"].items():
        condition, reason = told["condition"], told["reason"]
        if condition == "ready" or condition == "due":  # of calibrations the store says more
            continue
        known = f"the agent of {name}"
        look = f"bellwire check {lab} --connect --state {state}"
        if condition == "refused":
            what = f"{instrument} is another instrument than the lab file says: {reason}"
            yield Finding(
                "error", what, known, f"connect the right one, or correct its serial_number; then: {look}"
            )
        else:
            what = f"{instrument} is {condition}: {reason or 'no reason given'}"
            yield Finding("error", what, known, f"power and cable of {instrument}; then: {look}")


async def _stale_values(lab: str, name: str, loaded: "Lab", state: Path) -> list[Finding]:
    from bellwire.runtime.control import ask

    if not any(one.owner == name for one in loaded.equipment):
        return []
    try:
        devices = await ask(state, name, "device_list")
    except ConfigError:
        return []
    found = []
    for device in devices:
        stale = [one["parameter"] for one in device["readings"] if one["quality"] == "stale"]
        if stale:
            some = ", ".join(stale[:5]) + (" ..." if len(stale) > 5 else "")
            found.append(
                Finding(
                    "warning",
                    f"{len(stale)} values of {device['full_name']} are stale ({some}): it is silent since",
                    f"the agent of {name}",
                    f"bellwire device {lab} {device['full_name']} --state {state}",
                )
            )
    return found


async def _links(lab: str, loaded: "Lab", state: Path, answers: Answers, limits: Limits) -> list[Finding]:
    """Links that are wanted and attempted, and herald nothing while heralds are due."""
    first = await _heralds(state, answers)
    if not first:
        return []
    rates = {
        name: loaded.network.links[name].lanes
        * loaded.network.links[name].success_probability
        * 1e9
        / loaded.network.links[name].period_ns
        for name in first
        if name in loaded.network.links
    }
    judged = {name: rate for name, rate in rates.items() if rate * limits.look_s >= HERALDS_MIN}
    if not judged:
        return []
    await asyncio.sleep(max(HERALDS_MIN / min(judged.values()), 0.5))
    second = await _heralds(state, answers)
    return [
        Finding(
            "error",
            f"{name} is wanted and heralds nothing, where {rate:.3g} heralds a second are due",
            f"two looks at the counters of {' and '.join(loaded.network.links[name].nodes)}",
            f"bellwire links {lab} --state {state}; then light and detectors: bellwire check {lab} --connect",
        )
        for name, rate in judged.items()
        if name in second and second[name] == first[name]
    ]


async def _heralds(state: Path, answers: Answers) -> dict[str, int]:
    """Heralds so far of links that somebody wants."""
    from bellwire.runtime.control import ask

    found: dict[str, int] = {}
    for name, answer in answers.items():
        if answer is None:
            continue
        try:
            told = (await ask(state, name, "links"))["links"]
        except ConfigError:
            continue
        found |= {link: one["counters"]["heralds"] for link, one in told.items() if one["wanted_by"]}
    return found


async def _requests(lab: str, state: Path, answers: Answers) -> list[Finding]:
    from bellwire.runtime.control import ask

    found: list[Finding] = []
    for name, answer in answers.items():
        if answer is None or not answer["slots"]:
            continue
        try:
            now_ns = (await ask(state, name, "links"))["now_ns"]
            page: Any = {"next": 0}
            while page["next"] is not None:
                page = await ask(state, name, "requests", after=page["next"])
                found += [one for row in page["requests"] if (one := judged_request(lab, row, now_ns, state))]
        except ConfigError:
            continue  # it restarts at this moment, which is told above
    return found


def judged_request(lab: str, row: Mapping[str, Any], now_ns: int, state: Path) -> Finding | None:
    """A request that is suspended, or delivers less than it was promised."""
    request, request_id = row["request"], row["request"]["request_id"]
    if row["state"] == "suspended":
        return Finding(
            "warning",
            f"request {request_id} is suspended: {row['reason'] or row['plan_failure'] or 'no reason given'}",
            f"the records of {request['target_nodes'][0]}",
            f"bellwire replan {lab} {request_id} --state {state}",
        )
    wanted_hz = request.get("rate_threshold_hz")
    if not wanted_hz and request.get("count") and request.get("deadline_ns"):
        wanted_hz = request["count"] * 1e9 / request["deadline_ns"]
    if row["state"] != "in_progress" or not wanted_hz or row["started_ns"] is None:
        return None
    due = wanted_hz * (now_ns - row["started_ns"]) / 1e9
    if row["delivered"] >= due - SHORTFALL_SIGMAS * max(due, 1.0) ** 0.5:
        return None
    return Finding(
        "warning",
        f"request {request_id} has {row['delivered']} pairs where {due:.0f} are due ({wanted_hz:.3g}/s)",
        f"the records of {request['target_nodes'][0]}",
        f"bellwire replan {lab} {request_id} --state {state}; bellwire links {lab} --state {state}",
    )
