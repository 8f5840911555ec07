"""Tokens of the northbound API: who may do what until when.

Owns the file `tokens.json` of a state folder, which holds hashes only, and the check of a token. Refuses to
show a token a second time. A token's secret is 256 bits of chance, so a plain SHA-256 keeps it: there is no
word that anybody could guess, as there is with passwords.
"""

import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from bellwire.core.errors import ConfigError
from bellwire.core.record import TaggedWord
from bellwire.runtime.store import write_synced

Role = Literal["viewer", "operator", "admin"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "operator", "admin")
"""Each may do what those before it may."""

SECRET_BYTES: Final = 32
TOKEN: Final = re.compile(r"bw_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    name: str
    role: Role
    token_id: str | None  # None: nobody had to show a token

    def may(self, role: Role) -> bool:
        """Whether his role is at least this one."""
        return ROLES.index(self.role) >= ROLES.index(role)


class KeptToken(TaggedWord, frozen=True, kw_only=True):
    """A token as the file has it. Times are unix time."""

    token_id: str
    name: str
    role: Role
    digest: str  # SHA-256 of the secret, in hex
    created_ns: int
    expires_ns: int
    revoked_ns: int | None = None  # None: it was not

    def valid(self, now_ns: int) -> bool:
        """Whether it opens anything at this moment."""
        return self.revoked_ns is None and now_ns < self.expires_ns


class TokenBook:
    """The tokens of a state folder. Changes by any process count at once."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "northbound" / "tokens.json"
        self._tokens: dict[str, KeptToken] = {}
        self._seen: tuple[int, int, int] | None = None

    def make(self, name: str, role: Role, now_ns: int, valid_ns: int) -> tuple[KeptToken, str]:
        """A new token, and its text, which nothing keeps. Raises ConfigError for a name that cannot be."""
        if not NAME.fullmatch(name):
            raise ConfigError(
                f'"{name}" cannot name a token: letters, digits, "_", "-", ".", "@", at most 64'
            )
        token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(SECRET_BYTES)
        kept = KeptToken(
            token_id=token_id,
            name=name,
            role=role,
            digest=_digest(secret),
            created_ns=now_ns,
            expires_ns=now_ns + valid_ns,
        )
        with self._changing():
            self._write([*self._tokens.values(), kept])
        return kept, f"bw_{token_id}_{secret}"

    def listing(self) -> tuple[KeptToken, ...]:
        """All tokens in the order in which they were made, revoked and expired ones too."""
        self._reload_if_changed()
        return tuple(self._tokens.values())

    def revoke(self, token_id: str, now_ns: int) -> KeptToken:
        """Let a token open nothing any more. Raises KeyError when there is none of that id."""
        with self._changing():
            kept = self._tokens[token_id]
            if kept.revoked_ns is None:
                kept = msgspec.structs.replace(kept, revoked_ns=now_ns)
                self._write([kept if one.token_id == token_id else one for one in self._tokens.values()])
            return kept

    def principal_of(self, text: str, now_ns: int) -> Principal | None:
        """Who shows this token; None: nobody whom we know, or not any more."""
        found = TOKEN.fullmatch(text)
        if found is None:
            return None
        self._reload_if_changed()
        kept = self._tokens.get(found[1])
        if kept is None or not hmac.compare_digest(kept.digest, _digest(found[2])):
            return None
        return Principal(kept.name, kept.role, kept.token_id) if kept.valid(now_ns) else None

    def still_valid(self, principal: Principal, now_ns: int) -> bool:
        """Whether somebody who was let in may stay."""
        if principal.token_id is None:
            return True
        self._reload_if_changed()
        kept = self._tokens.get(principal.token_id)
        return kept is not None and kept.valid(now_ns)

    def _reload_if_changed(self) -> None:
        if self._signature() != self._seen:
            self._reload()

    def _reload(self) -> None:
        self._seen = self._signature()
        if self._seen is None:
            self._tokens = {}
            return
        try:
            kept = msgspec.json.decode(self.path.read_bytes(), type=list[KeptToken])
        except msgspec.DecodeError as problem:
            raise ConfigError(f"not a file of tokens: {problem}", where=str(self.path)) from problem
        self._tokens = {one.token_id: one for one in kept}

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone with the file, and with its present content."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._reload()
            yield
        finally:
            os.close(descriptor)

    def _write(self, tokens: list[KeptToken]) -> None:
        write_synced(self.path, msgspec.json.encode(tokens) + b"\n")
        self.path.chmod(0o600)
        self._reload()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("ascii")).hexdigest()
