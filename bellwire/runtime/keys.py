"""CURVE keys of a lab, and the answer to every handshake: which node does this key belong to?

Owns the key files (`keys/NODE.key` mode 0600, `keys/public/NODE.key`, `keys/revoked/NODE.FINGERPRINT.key`,
`keys/waiting/FINGERPRINT.key`) and the ZAP handler. Refuses cryptography of its own: keys and handshakes are
libzmq's.

A node's public key is trusted because it lies in the lab's `keys/public` folder; copying that folder is how
computers of one lab get to know each other. A key that was refused waits, by its fingerprint, until an
operator says whose it is (`bellwire keys trust`).
"""

import asyncio
import os
import re
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import zmq
from zmq.auth.base import Authenticator

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.runtime.health import Health

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
ZAP_DOMAIN = "bellwire"
KEY_CHARACTERS = 40  # Z85 of 32 bytes
Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
FINGERPRINT_CHARACTERS = 16
WAITING_MAX = 32
"""Refused keys that are remembered; the one refused longest ago gives way, so that strangers fill no disk."""
WAITING_EVERY_S = 0.1
"""At most one of them is written in so long: each is synced, while the agent waits. A peer tries again."""


class Keyring:
    """The keys of a lab as seen by one node (or, with `node` None, by the program that starts the nodes)."""

    def __init__(self, folder: Path, node: NodeId | None = None) -> None:
        self.folder = folder
        self.node = node
        self._nodes: dict[str, NodeId] = {}  # public key -> node
        self._seen: tuple[int, int] | None = None

    def make(self, node: NodeId) -> None:
        """Make the keys of a node unless they exist; safe when two processes try at once."""
        check_name(node)
        secret = self.folder / f"{node}.key"
        public = self.folder / "public" / f"{node}.key"
        public.parent.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        fresh = zmq.curve_keypair()[1]
        _write_once(secret, fresh, mode=0o600)
        # From the secret that is in the file, which may be that of a faster process.
        derived = zmq.curve_public(self.secret_of(node))
        _write_once(public, derived, mode=0o644)
        if public.read_text(encoding="ascii").strip() != derived.decode("ascii"):
            raise ConfigError(
                f"the public key of {node} does not fit its secret key; remove one of them", where=str(public)
            )

    def secret_of(self, node: NodeId) -> bytes:
        """The node's secret key (Z85). Raises ConfigError when it is missing or readable by others."""
        path = self.folder / f"{check_name(node)}.key"
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        if mode & 0o077:
            problem = f"the secret key of {node} is readable by others (mode {mode:o}); chmod 600"
            raise ConfigError(problem, where=str(path))
        return _read_key(path, node)

    def public_of(self, node: NodeId) -> bytes | None:
        """The node's public key (Z85), or None while the lab does not know it."""
        path = self.folder / "public" / f"{check_name(node)}.key"
        return _read_key(path, node) if path.exists() else None

    def reload(self) -> None:
        """Read the folders again;

        called on every handshake, so that new nodes and revocations count at once.
        """
        public = self.folder / "public"
        nodes = {
            _read_key(path, path.stem).decode("ascii"): path.stem
            for path in sorted(public.glob("*.key"))
            if NAME_PATTERN.fullmatch(path.stem)
        }
        ended = {key.decode("ascii") for key in self._revoked()}
        self._nodes = {key: node for key, node in nodes.items() if key not in ended}
        self._seen = self._changes()

    def reload_if_changed(self) -> None:
        """As `reload`, when a key was added, removed or revoked since the last reading (by any process)."""
        if self._seen != self._changes():
            self.reload()

    def _changes(self) -> tuple[int, int]:
        def changed_ns(folder: Path) -> int:
            return folder.stat().st_mtime_ns if folder.exists() else 0

        return changed_ns(self.folder / "public"), changed_ns(self.folder / "revoked")

    def node_of(self, public_key: str) -> NodeId | None:
        """Whose key this is; None for unknown and revoked keys."""
        return self._nodes.get(public_key)

    def revoke(self, node: NodeId) -> None:
        """Trust the node's present key no more: frames on live connections are dropped from now on."""
        key = self.public_of(node)
        if key is None:
            raise ConfigError(f"{node} has no public key to revoke", where=str(self.folder / "public"))
        revoked = self.folder / "revoked" / f"{node}.{fingerprint(key)}.key"
        revoked.parent.mkdir(parents=True, exist_ok=True)
        _write_once(revoked, key, mode=0o644)
        self.reload()

    def trust(self, node: NodeId, key: bytes) -> None:
        """From now on this is the node's public key (Z85).

        Raises:
            ConfigError: it is no key, it was revoked, another node has it, or the node has another one.
        """
        where = str(self.folder / "public")
        if not Z85.fullmatch(key.decode("ascii", "replace")):
            raise ConfigError("a public key has 40 characters of Z85", where=where)
        self.reload()
        present, owner = self.public_of(node), self._nodes.get(key.decode("ascii"))
        if owner is not None and owner != node:
            raise ConfigError(f"this is the key of {owner}", where=where)
        if key in self._revoked():
            raise ConfigError("this key was revoked; the node needs a new one", where=where)
        if present is not None and present != key:
            if present not in self._revoked():
                raise ConfigError(f"{node} has another key; revoke that one first", where=where)
            self._public_path(node).unlink()
        self._public_path(node).parent.mkdir(parents=True, exist_ok=True)
        _write_once(self._public_path(node), key, mode=0o644)
        self._waiting_path(key).unlink(missing_ok=True)
        self.reload()

    def renew(self, node: NodeId) -> None:
        """Revoke the node's keys here and make new ones. Its agent is to be started again."""
        self.revoke(node)
        (self.folder / f"{check_name(node)}.key").unlink(missing_ok=True)
        self._public_path(node).unlink()
        self.make(node)
        self.reload()

    def waiting(self) -> dict[str, bytes]:
        """Keys that were refused, by their fingerprints, the latest last."""
        found = sorted((self.folder / "waiting").glob("*.key"), key=lambda path: path.stat().st_mtime_ns)
        return {path.stem: _read_key(path, path.stem) for path in found}

    def refused(self, key: bytes) -> None:
        """Remember a key that asked to come in. What is trusted or revoked needs no decision."""
        if key in self._revoked():
            return
        path = self._waiting_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.touch()
            return
        _write_once(path, key, mode=0o644)
        for old in list(self.waiting())[:-WAITING_MAX]:
            (path.parent / f"{old}.key").unlink(missing_ok=True)

    def _revoked(self) -> set[bytes]:
        return {_read_key(path, path.stem) for path in (self.folder / "revoked").glob("*.key")}

    def _public_path(self, node: NodeId) -> Path:
        return self.folder / "public" / f"{check_name(node)}.key"

    def _waiting_path(self, key: bytes) -> Path:
        return self.folder / "waiting" / f"{fingerprint(key)}.key"


class ZapHandler(Authenticator):
    """Answers libzmq's question about every connecting key, in the agent's loop, with the names of a
    keyring."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keyring: Keyring, health: Health) -> None:
        super().__init__(context)
        self._keyring = keyring
        self._health = health
        self._answers: set[asyncio.Task[None]] = set()
        self._kept_s = -WAITING_EVERY_S  # when a refused key was kept last
        self.configure_curve_callback(domain=ZAP_DOMAIN, credentials_provider=self)

    def callback(self, domain: str, key: bytes) -> bool:
        """Called by pyzmq for every connecting public key (Z85)."""
        self._keyring.reload()
        if self._keyring.node_of(key.decode("ascii")) is not None:
            return True
        self._health.tell("key_refused", fingerprint=fingerprint(key))
        self._keep_waiting(key)
        return False

    def _keep_waiting(self, key: bytes) -> None:
        """Strangers may come as fast as they like, and the disk may be full: neither stops the agent."""
        now_s = time.monotonic()
        if now_s < self._kept_s + WAITING_EVERY_S:
            return
        self._kept_s = now_s
        try:
            self._keyring.refused(key)
        except (OSError, ConfigError) as problem:
            self._health.count("refused_key_not_kept", problem=str(problem))

    def listen(self) -> Callable[[], None]:
        """Start answering; the returned function ends it."""
        self.start()
        socket = self.zap_socket
        loop = asyncio.get_running_loop()

        def drain() -> None:
            # REP takes the next question only after its answer has left.
            if not socket.closed and not self._answers:
                try:
                    question = socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    return
                answer = loop.create_task(self.handle_zap_message(question))
                self._answers.add(answer)
                answer.add_done_callback(self._answers.discard)
                answer.add_done_callback(lambda _: drain())

        descriptor = socket.FD
        loop.add_reader(descriptor, drain)
        loop.call_soon(drain)

        def close() -> None:
            loop.remove_reader(descriptor)
            self.stop()

        return close


def fingerprint(key: bytes) -> str:
    """A short name of a public key (Z85), that two people can compare and a file can have."""
    return sha256(key).hexdigest()[:FINGERPRINT_CHARACTERS]


def check_name(node: str) -> str:
    """The name, if it can be a file name and a bus name. Raises ConfigError otherwise."""
    if not NAME_PATTERN.fullmatch(node):
        raise ConfigError(f'"{node}" cannot name a node: letters, digits, "_", "-" and ".", at most 64')
    return node


def _read_key(path: Path, node: str) -> bytes:
    try:
        key = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise ConfigError(
            f"no key of {node}; run `bellwire keys new` for this lab", where=str(path)
        ) from None
    if len(key) != KEY_CHARACTERS:
        raise ConfigError(f"not a key: {len(key)} characters instead of {KEY_CHARACTERS}", where=str(path))
    return key.encode("ascii")


def _write_once(path: Path, key: bytes, *, mode: int) -> None:
    # Written beside and linked: another process sees the whole key or none, and the first one wins.
    if path.exists():
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.write(descriptor, key + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(beside, path)
    except FileExistsError:
        pass  # the faster process's key counts
    finally:
        beside.unlink()
