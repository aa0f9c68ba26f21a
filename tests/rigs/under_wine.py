"""What trio needs in order to start under Wine; on Windows itself nothing is changed.

Trio asks each socket for the handle that its readiness is watched by (SIO_BSP_HANDLE_SELECT). Wine does not
know that question; the one for the handle at the base of the socket (SIO_BASE_HANDLE), which trio asks
elsewhere, has the same answer there.
"""

from __future__ import annotations

import sys
from typing import Any


def under_wine() -> bool:
    """Whether this is a program for Windows that Wine runs: only its ntdll has a function to say so."""
    if sys.platform == "win32":
        import ctypes

        return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
    return False


def mend_trio() -> None:
    """Let trio ask the question that Wine can answer."""
    import trio._core._io_windows as io_windows  # type: ignore[import-not-found,unused-ignore]

    windows: Any = io_windows
    ask = windows._get_underlying_socket
    base = windows.WSAIoctls.SIO_BASE_HANDLE

    def ask_for_base(sock: Any, *, which: Any = base) -> Any:
        return ask(sock, which=base)

    windows._get_underlying_socket = ask_for_base
