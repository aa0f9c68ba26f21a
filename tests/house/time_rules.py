"""Finds what waits for a fixed time: sleeps, polling loops and numbers that mean a time.

The rules look at names and literals in the syntax tree; they know nothing of types. A name speaks of
time if one of its words does (``probe_timeout``, ``POLL_MS``, ``retryDelay``). A number counts wherever
it would set such a name: assigned, as a default, as a keyword argument, in a dictionary, as the
fallback of ``or``, ``min``, ``max`` or a conditional, or added to something.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from tests.house.package import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

SLEEPS: Final = frozenset({
    "sleep",
    "sleep_until",
    "sleep_forever",
    "usleep",
    "nanosleep",
    "clock_nanosleep",
    "SleepEx",
})

TIME_WORDS: Final = frozenset({
    "backoff",
    "cooldown",
    "deadline",
    "debounce",
    "delay",
    "expiry",
    "grace",
    "interval",
    "latency",
    "linger",
    "patience",
    "pause",
    "period",
    "poll",
    "quarantine",
    "timeout",
    "tolerance",
    "wait",
})

UNITS: Final = frozenset({"ns", "us", "ms", "msec", "millis", "sec", "secs", "second", "seconds", "minutes"})

# Functions whose positional numbers are times.
WAITING: Final = frozenset({
    "acquire",
    "call_at",
    "call_later",
    "control",
    "epoll_wait",
    "fail_after",
    "fail_at",
    "join",
    "move_on_after",
    "move_on_at",
    "poll",
    "select",
    "setitimer",
    "settimeout",
    "sigtimedwait",
    "timeout",
    "timeout_at",
    "wait",
    "wait_for",
    "Timer",
})

CHECKPOINTS: Final = frozenset({"checkpoint", "cancel_shielded_checkpoint", "checkpoint_if_cancelled"})

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def words(name: str) -> list[str]:
    """The words of a name, in lower case, plural forms made singular."""
    return [_singular(word.lower()) for word in _WORD.findall(name)]


def _singular(word: str) -> str:
    return word[:-1] if word[:-1] in TIME_WORDS else word


def speaks_of_time(name: str) -> bool:
    """Whether a number bound to this name would be a time."""
    parts = words(name)
    if not parts or "per" in parts:  # NS_PER_SECOND is a unit, packets_per_second is a rate
        return False
    return not TIME_WORDS.isdisjoint(parts) or (len(parts) > 1 and parts[-1] in UNITS)


# --- numbers -----------------------------------------------------------------------------------------


def _constant(node: ast.expr) -> float | None:
    """The value of an expression made of numeric literals only."""
    if isinstance(node, ast.Constant):
        is_number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        return float(node.value) if is_number else None  # type: ignore[arg-type]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _constant(node.operand)
        return value if value is None or isinstance(node.op, ast.UAdd) else -value
    if isinstance(node, ast.BinOp):
        left, right = _constant(node.left), _constant(node.right)
        # Which number it is does not matter, only that it is one.
        return None if left is None or right is None else abs(left) + abs(right)
    return None


def sets_a_number(node: ast.expr | None) -> bool:
    """Whether an expression puts a number of its own, greater than zero, where a time is wanted."""
    if node is None:
        return False
    value = _constant(node)
    if value is not None:
        return value > 0
    if isinstance(node, ast.BinOp):
        # now + 5 brings a number of its own; seconds * 1000 only changes the unit.
        return isinstance(node.op, ast.Add | ast.Sub) and any(
            sets_a_number(side) for side in (node.left, node.right)
        )
    if isinstance(node, ast.BoolOp):
        return any(sets_a_number(side) for side in node.values)
    if isinstance(node, ast.IfExp):
        return sets_a_number(node.body) or sets_a_number(node.orelse)
    if isinstance(node, ast.Await | ast.NamedExpr):
        return sets_a_number(node.value)
    if isinstance(node, ast.Call) and _called(node) in {"min", "max", "float", "int", "round", "timedelta"}:
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        return any(sets_a_number(value) for value in values)
    if isinstance(node, ast.Call) and _called(node) in {"get", "getattr", "pop", "setdefault"}:
        return any(sets_a_number(argument) for argument in node.args[1:])
    return False


def _called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _name(node: ast.expr) -> str:
    """The name that an assignment's target, a dictionary's key or a subscript goes by."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return _name(node.slice) if isinstance(node, ast.Subscript) else ""


def _bindings(tree: ast.AST) -> Iterator[tuple[int, str, ast.expr]]:
    """Every name that is bound to an expression anywhere, whatever the syntax."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _targets(node.lineno, target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign) and node.value is not None:
            yield node.lineno, _name(node.target), node.value
        elif isinstance(node, ast.NamedExpr):
            yield node.lineno, node.target.id, node.value
        elif isinstance(node, ast.keyword) and node.arg is not None:
            yield node.lineno, node.arg, node.value
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None:
                    yield node.lineno, _name(key), value
        elif isinstance(node, ast.arguments):
            positional = [*node.posonlyargs, *node.args]
            for argument, default in zip(reversed(positional), reversed(node.defaults), strict=False):
                yield argument.lineno, argument.arg, default
            for argument, given in zip(node.kwonlyargs, node.kw_defaults, strict=True):
                if given is not None:
                    yield argument.lineno, argument.arg, given


def _targets(line: int, target: ast.expr, value: ast.expr) -> Iterator[tuple[int, str, ast.expr]]:
    if isinstance(target, ast.Tuple | ast.List):
        if isinstance(value, ast.Tuple | ast.List) and len(target.elts) == len(value.elts):
            for inner, bound in zip(target.elts, value.elts, strict=True):
                yield from _targets(line, inner, bound)
    else:
        yield line, _name(target), value


def _field_default(node: ast.expr) -> ast.expr:
    """What ``attrs.field(default=...)`` and its like set the attribute to; else the expression itself."""
    if isinstance(node, ast.Call) and _called(node) in {"field", "ib", "attrib", "Factory"}:
        for keyword in node.keywords:
            if keyword.arg == "default":
                return keyword.value
    return node


def timeouts(tree: ast.AST) -> list[Finding]:
    """Numbers that mean a time."""
    found = {
        Finding(line, f"{name} is set to a number")
        for line, name, value in _bindings(tree)
        if speaks_of_time(name) and sets_a_number(_field_default(value))
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = _called(node)
        if called in WAITING and any(sets_a_number(argument) for argument in node.args):
            found.add(Finding(node.lineno, f"{called}() waits for a number"))
        # An option of the command line: add_argument("--timeout", default=5.0)
        options = [_name(argument) for argument in node.args if isinstance(argument, ast.Constant)]
        if called == "add_argument" and any(speaks_of_time(option) for option in options):
            found |= {
                Finding(node.lineno, f"{' '.join(options)} defaults to a number")
                for keyword in node.keywords
                if keyword.arg in {"default", "const"} and sets_a_number(keyword.value)
            }
    return sorted(found)


# --- sleeps and polling ------------------------------------------------------------------------------


def sleeps(tree: ast.AST) -> list[Finding]:
    """Everything by which a program could sleep, by whatever name it is reached."""
    found = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.alias):
            names = [node.name.rpartition(".")[2], node.asname or ""]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.keyword | ast.arg):
            names = [node.arg or ""]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # getattr(time, "sleep"), and declarations of C functions
            text = node.value.strip()
            names = [text, *re.findall(r"\b(\w+)\s*\(", text)] if "sleep" in text.lower() else []
        found |= {Finding(node.lineno, f"{name} sleeps") for name in names if name in SLEEPS}  # type: ignore[attr-defined]
    return sorted(found)


def polling_loops(tree: ast.AST) -> list[Finding]:
    """Loops that look again and again: they give way to others, but wait for nothing."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.While):
            continue
        awaited = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Await)]
        if awaited and all(isinstance(call, ast.Call) and _called(call) in CHECKPOINTS for call in awaited):
            found.append(Finding(node.lineno, "a loop that polls"))
    return found
