"""The C library as traceprobe sees it, compared with what the machine says."""
