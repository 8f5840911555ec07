"""Tokens: hashed at rest, shown once, valid until they expire or are revoked, by any process."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bellwire.cli.main import app
from bellwire.core.errors import ConfigError
from bellwire.northbound.tokens import ROLES, Principal, TokenBook

SECOND_NS = 1_000_000_000


def bellwire(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_a_token_opens_until_it_expires_and_the_file_does_not_hold_it(tmp_path: Path) -> None:
    book = TokenBook(tmp_path)
    kept, text = book.make("me", "operator", 0, 10 * SECOND_NS)
    assert book.principal_of(text, 10 * SECOND_NS - 1) == Principal("me", "operator", kept.token_id)
    assert book.principal_of(text, 10 * SECOND_NS) is None
    file = book.path.read_text(encoding="utf-8")
    assert text not in file
    assert text.split("_", 2)[2] not in file
    assert book.path.stat().st_mode & 0o777 == 0o600


def test_roles_hold_those_below_them() -> None:
    may = [[Principal("x", role, None).may(wanted) for wanted in ROLES] for role in ROLES]
    assert may == [[True, False, False], [True, True, False], [True, True, True]]


def test_what_another_process_changes_counts_at_once(tmp_path: Path) -> None:
    reader, writer = TokenBook(tmp_path), TokenBook(tmp_path)
    assert reader.listing() == ()
    kept, text = writer.make("me", "viewer", 0, SECOND_NS)
    principal = reader.principal_of(text, 1)
    assert principal is not None
    other, _ = reader.make("you", "admin", 0, SECOND_NS)
    assert [one.token_id for one in writer.listing()] == [kept.token_id, other.token_id]
    assert reader.still_valid(principal, 1)
    writer.revoke(kept.token_id, 1)
    assert reader.principal_of(text, 1) is None
    assert not reader.still_valid(principal, 1)
    assert writer.revoke(kept.token_id, 5).revoked_ns == 1


@pytest.mark.parametrize(
    "text", ["", "bw_", "bw_0123456789ab_short", "x" * 10_000, "bw_0123456789ab_" + "é" * 43]
)
def test_what_has_not_the_form_of_a_token_is_none(tmp_path: Path, text: str) -> None:
    assert TokenBook(tmp_path).principal_of(text, 0) is None


def test_a_name_that_could_be_mistaken_and_a_broken_file_are_refused(tmp_path: Path) -> None:
    book = TokenBook(tmp_path)
    for name in ("", "two words", "-x", "x" * 65, "a/b"):
        with pytest.raises(ConfigError, match="cannot name a token"):
            book.make(name, "viewer", 0, 1)
    book.make("me", "viewer", 0, 1)
    book.path.write_text("[{]", encoding="utf-8")
    with pytest.raises(ConfigError, match="not a file of tokens"):
        book.listing()


def test_the_commands_make_list_and_revoke(tmp_path: Path) -> None:
    where = ("--state", str(tmp_path))
    made = bellwire("tokens", "new", "me", "--role", "viewer", "--days", "2", "--json", *where)
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert TokenBook(tmp_path).principal_of(told["token"], told["expires_ns"] - 1) is not None
    shown = bellwire("tokens", "new", "you", *where)
    assert shown.stdout.startswith("bw_")
    assert "not shown again" in shown.stderr
    listed = bellwire("tokens", "list", "--json", *where)
    rows = json.loads(listed.stdout)
    assert [(row["name"], row["role"], row["state"]) for row in rows] == [
        ("me", "viewer", "valid"),
        ("you", "operator", "valid"),
    ]
    assert told["token"] not in listed.stdout
    assert bellwire("tokens", "revoke", rows[0]["token_id"], *where).exit_code == 0
    assert "revoked" in bellwire("tokens", "list", *where).stdout
    assert bellwire("tokens", "revoke", "000000000000", *where).exit_code == 2
    assert "roles: viewer, operator, admin" in bellwire("tokens", "new", "x", "--role", "root", *where).stderr
