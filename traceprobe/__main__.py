"""``python -m traceprobe``: the same program as ``traceprobe``."""

from __future__ import annotations

import sys

from traceprobe.cli import main

if __name__ == "__main__":
    sys.exit(main())
