"""C libraries: declarations, generated modules and thin typed wrappers, one of each per library.

Declarations stand in ``build_*.py``; ``python -m traceprobe.ffi.build_linux`` writes the generated module
from them, which is committed, so that neither a compiler nor the parser of C is needed to run. Wrappers
know structures and calls, and nothing of the protocols that the bytes belong to.
"""
