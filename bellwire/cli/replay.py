"""`bellwire replay RUN`: a recorded run, once more, step by step.

Owns the command. Refuses the comparison itself (runtime/replay.py). The lab is the one frozen in the run, not
the file of today.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import JsonOption
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.core.ids import NodeId
    from bellwire.core.machine import Machine
    from bellwire.runtime.node_process import MachineFactory


def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")], as_json: JsonOption = False
) -> None:
    """Feed a run's recorded inputs to fresh machines and ledgers, and compare every step."""
    report = replayed(run)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        _show(report)
    if not report["same"]:
        raise typer.Exit(UNSUCCESSFUL)


def replayed(run_dir: Path) -> dict[str, Any]:
    """The comparison, ready for JSON, and as `counters` what the replayed machines have counted, by node."""
    from bellwire.labs import lab_from_document
    from bellwire.runtime.counters import MachineCounters, added, machine_counters
    from bellwire.runtime.in_force import changes_made
    from bellwire.runtime.node_process import machine_factory
    from bellwire.runtime.replay import replay_run
    from bellwire.runtime.runs import CONFIGURATION

    frozen = run_dir / CONFIGURATION
    if not frozen.is_file():
        raise ConfigError("not a run directory: it has no configuration", where=str(run_dir))
    document = json.loads(frozen.read_text(encoding="utf-8"))["document"]
    lab = lab_from_document(document, path=str(frozen), live=True)
    make = machine_factory(lab)
    lives: dict[NodeId, list[Machine]] = {}

    def kept(name: "NodeId") -> "Machine":
        machine = make(name)
        lives.setdefault(name, []).append(machine)
        return machine

    def later(name: "NodeId", incarnation: int) -> "Machine | None":
        obeyed = [one for one in changed if incarnation >= one[0].get(name, incarnation + 1)]
        if not obeyed:
            return None
        machine = obeyed[-1][1](name)
        lives.setdefault(name, []).append(machine)
        return machine

    changed = [(one.since, _later_factory(run_dir / one.configuration)) for one in changes_made(run_dir)]
    report = replay_run(run_dir, lab.network, kept, later)
    counters: dict[NodeId, MachineCounters] = {}
    for name, machines in lives.items():
        counted = [machine_counters(machine) for machine in machines]
        links = {link for one in counted for link in one["links"]}
        counters[name] = {
            "links": {link: added(one["links"].get(link, {}) for one in counted) for link in sorted(links)},
            "swaps": added(one["swaps"] for one in counted),
            "fusions": added(one["fusions"] for one in counted),
            "station": added(one["station"] for one in counted),
        }
    return report | {"counters": counters}


def _later_factory(path: Path) -> "MachineFactory":
    """Machines of a configuration that came into force within the run."""
    from bellwire.labs import lab_from_document
    from bellwire.runtime.in_force import read_configuration
    from bellwire.runtime.node_process import machine_factory

    return machine_factory(lab_from_document(read_configuration(path).document, path=str(path), live=True))


def _show(report: dict[str, Any]) -> None:
    from bellwire.cli import show

    show.write(
        show.table(
            f"Replay of {report['run']}",
            ["node", "incarnation", "steps", "same", "first difference"],
            [
                [one["node"], one["incarnation"], one["steps"], one["same"], one.get("first_difference")]
                for one in report["machines"]
            ],
        ),
        show.table(
            "Ledgers",
            ["node", "incarnation", "same"],
            [[one["node"], one["incarnation"], one["same"]] for one in report["ledgers"]],
        ),
    )
