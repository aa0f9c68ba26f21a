"""Declarations of what Python's ``socket`` lacks on the BSDs and macOS; writes ``_generated_bsd.py``.

Run ``python -m traceprobe.ffi.build_bsd`` after a change, and commit what it writes. Needs cffi itself;
nothing imports it but its own test. Nothing of it depends on the system that it runs on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

MODULE: Final = "traceprobe.ffi._generated_bsd"
TARGET: Final = Path(__file__).with_name("_generated_bsd.py")

DECLARATIONS: Final = """
    // uio.h(0p), recv(2): the same on all of them where words have 64 bits
    struct iovec {
        void *iov_base;
        size_t iov_len;
    };
    struct msghdr {
        void *msg_name;
        uint32_t msg_namelen;
        struct iovec *msg_iov;
        int msg_iovlen;
        void *msg_control;
        uint32_t msg_controllen;
        int msg_flags;
    };
    struct mmsghdr {
        struct msghdr msg_hdr;
        size_t msg_len;
    };
    struct cmsghdr {
        uint32_t cmsg_len;
        int cmsg_level;
        int cmsg_type;
    };
    struct sockaddr_in {
        uint8_t sin_len;
        uint8_t sin_family;
        uint16_t sin_port;
        uint32_t sin_addr;
        uint8_t sin_zero[8];
    };
    struct sockaddr_in6 {
        uint8_t sin6_len;
        uint8_t sin6_family;
        uint16_t sin6_port;
        uint32_t sin6_flowinfo;
        uint8_t sin6_addr[16];
        uint32_t sin6_scope_id;
    };
    // Half of the systems count microseconds in four bytes and pad; both come to this size.
    struct timeval {
        int64_t tv_sec;
        int64_t tv_usec;
    };
    struct timespec {
        int64_t tv_sec;
        int64_t tv_nsec;
    };

    // sendmsg(2), recvmsg(2); messages are given by their address
    ssize_t sendmsg(int, const void *, int);
    ssize_t recvmsg(int, void *, int);

    // sendmmsg(2), recvmmsg(2), as NetBSD and OpenBSD have them: there they are system calls. FreeBSD has
    // other types, and nothing but a loop over the above behind them.
    int sendmmsg(int, void *, unsigned int, int);
    int recvmmsg(int, void *, unsigned int, int, void *);
"""


def generate(target: Path) -> None:
    """Write the generated module.

    Args:
        target: The file to write.
    """
    from cffi import FFI

    builder = FFI()
    builder.set_source(MODULE, None)
    builder.cdef(DECLARATIONS)
    builder.emit_python_code(str(target))


if __name__ == "__main__":
    generate(TARGET)
