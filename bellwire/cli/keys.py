"""`bellwire keys LAB`: the CURVE keys by which the nodes of a lab know each other.

Owns the command. Refuses cryptography and key files (runtime/keys.py).
"""

import json
from typing import Annotated

import typer

from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest


def keys(
    lab: LabArgument,
    state: StateOption = STATE,
    revoke: Annotated[
        str | None, typer.Option("--revoke", metavar="NODE", help="Trust this node's present key no more.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make missing keys of a lab's nodes, list them, or revoke one. Secret keys never leave their files."""
    from bellwire.core.instrument_messages import CONSOLE
    from bellwire.labs import load_lab
    from bellwire.runtime.keys import Keyring

    loaded = load_lab(find_lab(lab))
    names = [*loaded.network.nodes, *([] if loaded.console is None else [CONSOLE])]
    ring = Keyring(state / "keys")
    if revoke is not None:
        if revoke not in names:
            raise ConfigError(f'unknown node "{revoke}"{nearest(revoke, names)}', where=lab)
        ring.revoke(revoke)
    rows: list[dict[str, str]] = []
    for name in names:
        ring.make(name)
        public = ring.public_of(name)
        rows.append({"node": name, "public_key": public.decode("ascii") if public is not None else ""})
    ring.reload()
    for row in rows:
        row["state"] = "trusted" if ring.node_of(row["public_key"]) == row["node"] else "revoked"
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from bellwire.cli import show

    show.write(
        show.table(
            f"Keys in {state / 'keys'}",
            ["node", "public key", "state"],
            [[row["node"], row["public_key"], row["state"]] for row in rows],
        )
    )
