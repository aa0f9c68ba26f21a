"""A TCP service in a namespace: it accepts every connection and closes it, so that its queue never fills."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from tests.rigs.namespaces import Namespace

_BACKLOG = 1024


class Listener:
    """Listens on a port of some addresses; a context manager.

    Args:
        namespace: Where.
        addresses: Which.
        port: TCP port.
    """

    def __init__(self, namespace: Namespace, addresses: list[str], port: int) -> None:
        self._namespace = namespace
        self._places = [(address, port) for address in addresses]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for address, port in self._places:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                listener = stack.enter_context(self._namespace.socket(family, socket.SOCK_STREAM))
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((address, port))
                listener.listen(_BACKLOG)
                thread = threading.Thread(target=_accept, args=(listener,))
                thread.start()
                stack.callback(thread.join)
                stack.callback(listener.shutdown, socket.SHUT_RDWR)  # accept() then fails
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except ConnectionError:
            continue
        except OSError:
            return
        connection.close()
