"""The maker's client `pulsestreamer` (MIT), tamed: imported late, quiet, and closed when it is told to.

Owns the only import of that package (optional extra `instruments`). Refuses to speak to instruments.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
from typing import Any

from bellwire.core.errors import ConfigError

LOG = logging.getLogger("pulsestreamer")


class Library:
    """What is used of the package. Raises ConfigError when it is not installed."""

    def __init__(self) -> None:
        try:
            import pulsestreamer
            from pulsestreamer import findPulseStreamers, pulse_streamer_base
            from pulsestreamer.jrpc import pulse_streamer_jrpc
            from tinyrpc.exc import BadReplyError, RPCError
        except ImportError as error:
            raise ConfigError(
                f"the Pulse Streamer needs the maker's client: pip install 'bellwire[instruments]' ({error})"
            ) from error
        self._package = pulsestreamer
        self._refusal, self._bad_reply = RPCError, BadReplyError
        # The package prints. Its modules get a `print` of their own, because swapping sys.stdout would
        # silence every other thread as well.
        for module in (pulse_streamer_base, pulse_streamer_jrpc, findPulseStreamers):
            vars(module)["print"] = _log

        # A destructor that is harmless even after a constructor that failed, and a way to be closed.
        additions = {"_has_binary": False, "_socket": None, "hang_up": _hang_up}
        self._player = type("Player", (pulsestreamer.PulseStreamer,), additions)

    def player(self, host: str, timeout_s: float) -> Any:
        """Connect; queries only. Raises whatever the package raises.

        The package waits 10 s for each answer. From here on it waits `timeout_s`, until it has to open the
        connection for sequences again; then only the watchdog of the session is quicker.
        """
        player: Any = self._player(host)
        player.proxy.client.transport.request_kwargs["timeout"] = timeout_s
        if player._socket is not None:
            player._socket.settimeout(timeout_s)
        return player

    def clocks(self, number: int) -> Any:
        """The package's word for a clock source."""
        return self._package.ClockSource(number)

    def trigger(self, start: int, rearm: int) -> tuple[Any, Any]:
        """The package's words for a trigger."""
        return self._package.TriggerStart(start), self._package.TriggerRearm(rearm)

    def is_refusal(self, error: Exception) -> bool:
        """Whether the instrument itself answered with an error."""
        return isinstance(error, self._refusal) and not isinstance(error, self._bad_reply)


@functools.cache
def load_library() -> Library:
    """The library, imported at the first call. Raises ConfigError when it is not installed."""
    return Library()


def _hang_up(player: Any) -> None:
    """End the binary connection now, also under a call that waits for it."""
    connection: socket.socket | None = player._socket
    player._socket = None
    if connection is not None:
        with contextlib.suppress(OSError):  # it may have ended by itself
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def _log(*words: object, **_: object) -> None:
    LOG.debug(" ".join(map(str, words)))
