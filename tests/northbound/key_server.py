"""A real server on loopback with nothing but the delivery of keys, for tests and judges.

Owns its start and its end. The calling application is named by a header, in place of an authentication.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, Request

from bellwire.northbound.key_delivery import key_delivery_router
from bellwire.northbound.key_store import KeyStore

PATIENCE_S = 30.0


def named_by_header(request: Request) -> str | None:
    return request.headers.get("x-sae-id")


@contextmanager
def key_server(keys: KeyStore, always: str | None = None) -> Iterator[str]:
    """The address of a server over a store. always: the caller of every call, None: as the header says."""
    app = FastAPI()
    app.include_router(key_delivery_router(keys, named_by_header if always is None else lambda _: always))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        give_up = time.monotonic() + PATIENCE_S
        while not server.started:
            assert time.monotonic() < give_up, "the server did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
