"""The four kinds of error, split by whose fault they are (style.md, habit 7).

Owns the exception types. Refuses bare messages: each says the value, the limit and what to do.
"""


class BellwireError(Exception):
    """Base of every error that bellwire raises on purpose."""


class ConfigError(BellwireError):
    """The configuration is wrong: `where` is file:line (path), so that an operator can put the finger on
    it."""

    def __init__(self, problem: str, *, where: str | None = None) -> None:
        self.problem = problem
        self.where = where
        super().__init__(problem if where is None else f"{where}: {problem}")


class LocalMisuse(BellwireError):
    """Our own code did something that its contract forbids; always a bug of ours."""


class PeerViolation(BellwireError):
    """Another node said something that the protocol forbids."""

    def __init__(self, peer: str, detail: str) -> None:
        self.peer = peer
        self.detail = detail
        super().__init__(f"{peer} broke the protocol: {detail}")


class DeviceFault(BellwireError):
    """An instrument failed, vanished, or is not the one that was configured."""

    def __init__(self, instrument: str, detail: str) -> None:
        self.instrument = instrument
        self.detail = detail
        super().__init__(f"{instrument}: {detail}")
