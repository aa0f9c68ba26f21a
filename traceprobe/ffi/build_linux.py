"""Declarations of the C library and the kernel interface of Linux; writes ``_generated_linux.py``.

Run ``python -m traceprobe.ffi.build_linux`` after a change, and commit what it writes. Needs cffi itself;
nothing imports it but its own test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

MODULE: Final = "traceprobe.ffi._generated_linux"
TARGET: Final = Path(__file__).with_name("_generated_linux.py")

DECLARATIONS: Final = """
    // uio.h(0p), recv(2), sendmmsg(2), recvmmsg(2)
    struct iovec {
        void *iov_base;
        size_t iov_len;
    };
    struct msghdr {
        void *msg_name;
        uint32_t msg_namelen;
        struct iovec *msg_iov;
        size_t msg_iovlen;
        void *msg_control;
        size_t msg_controllen;
        int msg_flags;
    };
    struct mmsghdr {
        struct msghdr msg_hdr;
        unsigned int msg_len;
    };
    struct cmsghdr {
        size_t cmsg_len;
        int cmsg_level;
        int cmsg_type;
    };
    int sendmmsg(int, struct mmsghdr *, unsigned int, int);
    int recvmmsg(int, struct mmsghdr *, unsigned int, int, void *);

    // ip(7), ipv6(7)
    struct sockaddr_in {
        uint16_t sin_family;
        uint16_t sin_port;
        uint32_t sin_addr;
        uint8_t sin_zero[8];
    };
    struct sockaddr_in6 {
        uint16_t sin6_family;
        uint16_t sin6_port;
        uint32_t sin6_flowinfo;
        uint8_t sin6_addr[16];
        uint32_t sin6_scope_id;
    };

    // linux/errqueue.h
    struct sock_extended_err {
        uint32_t ee_errno;
        uint8_t ee_origin;
        uint8_t ee_type;
        uint8_t ee_code;
        uint8_t ee_pad;
        uint32_t ee_info;
        uint32_t ee_data;
    };

    // linux/errqueue.h: the time stamp of the kernel, and two that only old hardware fills
    struct timespec {
        long tv_sec;
        long tv_nsec;
    };
    struct scm_timestamping {
        struct timespec ts[3];
    };

    // timerfd_create(2)
    struct itimerspec {
        struct timespec it_interval;
        struct timespec it_value;
    };
    int timerfd_create(int, int);
    int timerfd_settime(int, int, struct itimerspec *, struct itimerspec *);

    // linux/filter.h
    struct sock_filter {
        uint16_t code;
        uint8_t jt;
        uint8_t jf;
        uint32_t k;
    };
    struct sock_fprog {
        unsigned short len;
        struct sock_filter *filter;
    };
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
