"""Traces for people and programs: text, JSON, NDJSON, CSV and HTML, out of results and events.

Knows values only, nothing of probing. Whatever came from the network is treated as hostile: see
:mod:`traceprobe.render.sanitize`.
"""
