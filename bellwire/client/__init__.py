"""The client of the northbound API, for programs that ask a lab for entanglement.

Owns the words of the API, `Client` and `AsyncClient` with the same methods, and the errors that these raise.
Refuses every other room of bellwire: what a lab is stands behind the server. Needs `pip install
'bellwire[client]'`; nothing is loaded before a client is asked for, so that the words cost no more than
pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from bellwire.client.errors import (
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    KeyInProgress,
    NotAnswered,
    NotFound,
    RateLimited,
    Refused,
    ServerFault,
    Unauthenticated,
    Unavailable,
)
from bellwire.client.events import Event
from bellwire.client.words import RequestTerms

if TYPE_CHECKING:
    from bellwire.client.asynchronous import AsyncClient
    from bellwire.client.retrying import Retries
    from bellwire.client.synchronous import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "Conflict",
    "Event",
    "Forbidden",
    "Invalid",
    "KeyInProgress",
    "NotAnswered",
    "NotFound",
    "RateLimited",
    "Refused",
    "RequestTerms",
    "Retries",
    "ServerFault",
    "Unauthenticated",
    "Unavailable",
]

_LATER: Final = {"AsyncClient": "asynchronous", "Client": "synchronous", "Retries": "retrying"}


def __getattr__(name: str) -> Any:
    """The clients need packages that the words do not."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
