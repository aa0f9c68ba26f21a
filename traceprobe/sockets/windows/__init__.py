"""Windows' two ways of probing, and the reactor that completes both.

``icmp`` asks ``iphlpapi`` for echoes, ``raw`` sends UDP and TCP over overlapped Winsock; what they start is
completed through the one I/O completion port of ``_reactor``. The DLLs are reached through
``traceprobe.ffi.windows`` only, so that tests can put others in their place.
"""
