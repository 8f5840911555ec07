"""`bellwire keys new|show|trust|revoke`: the CURVE keys by which the nodes of a lab know each other.

Owns the commands. Refuses cryptography and key files (runtime/keys.py). Secret keys never leave their files.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    from bellwire.runtime.keys import Keyring

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="Of the lab.")]

app = typer.Typer(
    name="keys",
    help="Keys of a lab's nodes: make, show, trust, revoke.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _opened(lab: str, state: Path) -> "tuple[list[str], Keyring]":
    """Who needs keys in this lab, and the keys of the state folder."""
    from bellwire.core.instrument_messages import CONSOLE
    from bellwire.labs import load_lab
    from bellwire.runtime.keys import Keyring

    loaded = load_lab(find_lab(lab))
    names = [*loaded.network.nodes, *([] if loaded.console is None else [CONSOLE])]
    return names, Keyring(state / "keys")


def _known(node: str, names: list[str], lab: str) -> str:
    if node not in names:
        raise ConfigError(f'unknown node "{node}"{nearest(node, names)}', where=lab)
    return node


@app.command()
def new(
    lab: LabArgument,
    node: Annotated[str | None, typer.Argument(metavar="NODE", help="Only this one; default: all.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Revoke the keys that NODE has, and make new ones.")
    ] = False,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Make the keys that are missing. An agent whose keys are replaced is to be started again."""
    names, ring = _opened(lab, state)
    if replace and node is None:
        raise ConfigError("--replace goes with a NODE: one at a time")
    for name in names if node is None else [_known(node, names, lab)]:
        if replace:
            ring.renew(name)
        else:
            ring.make(name)
    _tell(names, ring, state, as_json)


@app.command()
def show(lab: LabArgument, state: StateOption = STATE, as_json: JsonOption = False) -> None:
    """Show whose keys are trusted, and those that were refused and wait for a decision."""
    names, ring = _opened(lab, state)
    _tell(names, ring, state, as_json)


# A public key (Z85) may begin with a "-".
@app.command(context_settings={"ignore_unknown_options": True})
def trust(
    lab: LabArgument,
    node: NodeArgument,
    key: Annotated[
        str,
        typer.Argument(metavar="KEY", help="Fingerprint of a key that waits, a public key, or its file."),
    ],
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Say that a key is this node's: from now on it may come in. Compare the fingerprint with the node's own
    `bellwire keys show` first."""
    from bellwire.runtime.keys import KEY_CHARACTERS

    names, ring = _opened(lab, state)
    _known(node, names, lab)
    waiting = ring.waiting()
    if key in waiting:
        public = waiting[key]
    elif Path(key).is_file():
        public = Path(key).read_bytes().strip()
    elif len(key) == KEY_CHARACTERS:
        public = key.encode("utf-8")
    else:
        hint = nearest(key, list(waiting))
        raise ConfigError(f'no key with the fingerprint "{key}" waits{hint}', where=str(state / "keys"))
    ring.trust(node, public)
    _tell(names, ring, state, as_json)


@app.command()
def revoke(
    lab: LabArgument, node: NodeArgument, state: StateOption = STATE, as_json: JsonOption = False
) -> None:
    """Trust a node's present key no more, on live connections too. `keys new --replace` makes it another."""
    names, ring = _opened(lab, state)
    ring.revoke(_known(node, names, lab))
    _tell(names, ring, state, as_json)


def _tell(names: list[str], ring: "Keyring", state: Path, as_json: bool) -> None:
    from bellwire.runtime.keys import fingerprint

    ring.reload()
    rows: list[dict[str, str]] = []
    for name in names:
        key = ring.public_of(name)
        public = "" if key is None else key.decode("ascii")
        trusted = ring.node_of(public) == name
        rows.append(
            {
                "node": name,
                "fingerprint": "" if key is None else fingerprint(key),
                "public_key": public,
                "state": "missing" if key is None else "trusted" if trusted else "revoked",
            }
        )
    waiting = [
        {"fingerprint": mark, "public_key": key.decode("ascii")} for mark, key in ring.waiting().items()
    ]
    if as_json:
        typer.echo(json.dumps({"nodes": rows, "waiting": waiting}))
        return
    from bellwire.cli import show as shown

    columns = ["node", "fingerprint", "public key", "state"]
    table = shown.table(f"Keys in {state / 'keys'}", columns, [list(row.values()) for row in rows])
    refused = shown.table(
        "Refused; whose are they?", ["fingerprint", "public key"], [list(row.values()) for row in waiting]
    )
    shown.write(table, *([refused] if waiting else []))
