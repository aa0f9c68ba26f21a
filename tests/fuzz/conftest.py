"""The readers of Linux are among the targets, and their layouts exist there only."""

from __future__ import annotations

import sys

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]
