"""A flood of garbage into one namespace: ``flood.c`` pours, ``garbage`` makes what it pours."""

from tests.rigs.flood.garbage import aimed, garbage
from tests.rigs.flood.pouring import COUNTS, Flood, missing_flood

__all__ = ["COUNTS", "Flood", "aimed", "garbage", "missing_flood"]
