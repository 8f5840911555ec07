"""`bellwire tokens new|list|revoke`: who may use the northbound API of a state folder.

Owns the commands. Refuses the file and the hashes (bellwire.northbound.tokens). A token is shown once, when
it is made.
"""

import json
import time
from typing import Annotated

import typer

from bellwire.cli.places import STATE, JsonOption, StateOption
from bellwire.core.errors import ConfigError

DAY_NS = 86_400 * 1_000_000_000
DAYS_MAX = 3650.0

app = typer.Typer(
    name="tokens",
    help="Tokens of the northbound API: make, list, revoke.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the person or program that will use it.")],
    role: Annotated[str, typer.Option("--role", help="viewer, operator or admin.")] = "operator",
    days: Annotated[float, typer.Option("--days", min=0.0, max=DAYS_MAX, help="Until it expires.")] = 90.0,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Make a token and show it, this once. Requests belong to NAME: tokens of one name share them."""
    from bellwire.northbound.tokens import ROLES, Role, TokenBook

    roles: dict[str, Role] = {one: one for one in ROLES}
    chosen = roles.get(role)
    if chosen is None:
        raise ConfigError(f'no role is called "{role}"; roles: {", ".join(ROLES)}')
    kept, text = TokenBook(state).make(name, chosen, time.time_ns(), round(days * DAY_NS))
    if as_json:
        told = {"token_id": kept.token_id, "name": name, "role": role, "expires_ns": kept.expires_ns}
        typer.echo(json.dumps(told | {"token": text}))
        return
    typer.echo(text)
    typer.echo(f"{name}, {role}, for {days:g} days; it is not shown again", err=True)


@app.command("list")
def list_tokens(state: StateOption = STATE, as_json: JsonOption = False) -> None:
    """List tokens without their secrets."""
    from bellwire.northbound.tokens import TokenBook

    now_ns = time.time_ns()
    rows = [
        {
            "token_id": kept.token_id,
            "name": kept.name,
            "role": kept.role,
            "days_left": round((kept.expires_ns - now_ns) / DAY_NS, 2),
            "state": _state(kept.revoked_ns, kept.expires_ns, now_ns),
        }
        for kept in TokenBook(state).listing()
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from bellwire.cli import show

    show.write(
        show.table(
            f"Tokens in {state / 'northbound'}",
            ["id", "name", "role", "days left", "state"],
            [[str(value) for value in row.values()] for row in rows],
        )
    )


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `bellwire tokens list` shows it.")],
    state: StateOption = STATE,
) -> None:
    """Let a token open nothing any more, at once; streams that it has opened end."""
    from bellwire.northbound.tokens import TokenBook

    try:
        kept = TokenBook(state).revoke(token_id, time.time_ns())
    except KeyError:
        raise ConfigError(f"no token {token_id}: bellwire tokens list") from None
    typer.echo(f"{kept.name}'s token {token_id} is revoked")


def _state(revoked_ns: int | None, expires_ns: int, now_ns: int) -> str:
    if revoked_ns is not None:
        return "revoked"
    return "valid" if now_ns < expires_ns else "expired"
