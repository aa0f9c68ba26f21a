"""Who a virtual clock waits for: participants that are busy or wait, and the moment when nobody is busy.

Knows no time: what is to happen then is somebody else's business.
"""

from __future__ import annotations

import itertools
import weakref
from functools import partial
from typing import TYPE_CHECKING

from traceprobe.testing._soon import call_soon, current_task, has_ended

if TYPE_CHECKING:
    from collections.abc import Callable

_TURNS_OF_REST = 6
"""Turns of the event loop, none of which a participant uses to do anything, before nobody counts as busy: so
many tasks can a look-up's answer go through, say, to reach the trace that asked for it. On trio, which runs
what is ready in random order, half as many."""


class Participant:
    """Somebody that is waited for. Gone when it is collected as garbage."""

    __slots__ = ("__weakref__", "_key", "_roster", "_task")

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._key = roster.new_key()
        self._task: object = None

    def __del__(self) -> None:
        self._roster.leaves(self._key)

    def works(self) -> None:
        """It is busy, on behalf of the running task."""
        self._roster.works(self._key, current_task())

    def waits(self, cares: Callable[[], bool] | None = None) -> None:
        """The running task goes to wait.

        Args:
            cares: Whether it wants time to pass; None: always.
        """
        self._task = current_task()
        self._roster.waits(self._key, self._task, cares)

    def wakes(self) -> None:
        """What it waited for has come: busy from now on, though its task still has to get its turn."""
        task, self._task = self._task, None
        self._roster.works(self._key, task)

    def leaves(self) -> None:
        """It will not wait again, as far as it knows now."""
        self._task = None
        self._roster.leaves(self._key)


class _Worker:
    """A task, and the participants that are busy in it."""

    __slots__ = ("_task", "keys", "number")

    def __init__(self, number: int, task: object, gone: Callable[[object], None]) -> None:
        self._task = None if task is None else weakref.ref(task, gone)
        self.number = number
        self.keys: set[int] = set()

    @property
    def has_ended(self) -> bool:
        task = None if self._task is None else self._task()
        return task is not None and has_ended(task)


class Roster:
    """All participants of one clock, by number.

    Args:
        at_rest: Called when nobody has been busy for some turns of the event loop.
    """

    def __init__(self, at_rest: Callable[[], None]) -> None:
        self._at_rest = at_rest
        self._numbers = itertools.count()
        self._workers: dict[int, _Worker] = {}
        self._worker_of: dict[int, _Worker] = {}
        self._active: dict[_Worker, None] = {}
        self._resting: dict[int, _Worker] = {}
        """Workers whose task waits, by the participant through which it does."""
        self._waiting: dict[int, Callable[[], bool] | None] = {}
        self._watch = 0

    def __repr__(self) -> str:
        return f"{sum(len(worker.keys) for worker in self._active)} busy, {len(self._waiting)} waiting"

    @property
    def busy(self) -> bool:
        """Whether anybody is busy."""
        return bool(self._active)

    @property
    def cares(self) -> bool:
        """Whether anybody waits for time to pass."""
        return any(cares is None or cares() for cares in self._waiting.values())

    def new_key(self) -> int:
        """A number for a new participant, who is neither busy nor waits."""
        return next(self._numbers)

    def works(self, key: int, task: object) -> None:
        """A participant is busy in a task, and with it every other one that the task had been busy with."""
        self._remove(key)
        worker = self._workers.get(id(task))
        if worker is None:
            worker = _Worker(id(task), task, partial(self._task_gone, id(task)))
            self._workers[worker.number] = worker
        worker.keys.add(key)
        self._worker_of[key] = worker
        self._active[worker] = None

    def waits(self, key: int, task: object, cares: Callable[[], bool] | None) -> None:
        """A task waits through a participant, and so is busy with none."""
        self._remove(key)
        worker = self._workers.get(id(task))
        if worker is not None:
            self._active.pop(worker, None)
            self._resting[key] = worker
        self._waiting[key] = cares
        self.nudge()

    def leaves(self, key: int) -> None:
        """A participant is gone; the task that waited through it, if there is one, goes on."""
        self._remove(key)
        self.nudge()

    def nudge(self) -> None:
        """Look whether anybody is busy; if not, go on looking for a few turns of the event loop."""
        while self._active:
            # A live task keeps the clock from moving anyway; whatever stands behind it is looked at later.
            worker = next(iter(self._active))
            if not worker.has_ended:
                return
            self._dismiss(worker)
        self._watch += 1
        self._look(self._watch, _TURNS_OF_REST)

    def _look(self, watch: int, turns: int) -> None:
        # A participant that did anything meanwhile has begun a new watch, or will when it goes to wait.
        if watch != self._watch or self._active:
            return
        if turns:
            call_soon(partial(self._look, watch, turns - 1))
        else:
            self._at_rest()

    def _remove(self, key: int) -> None:
        self._waiting.pop(key, None)
        rested = self._resting.pop(key, None)
        if rested is not None and rested.keys:
            self._active[rested] = None
        worker = self._worker_of.pop(key, None)
        if worker is not None:
            worker.keys.discard(key)
            if not worker.keys:
                self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        for key in worker.keys:
            del self._worker_of[key]
        worker.keys.clear()
        self._active.pop(worker, None)
        self._workers.pop(worker.number, None)

    def _task_gone(self, number: int, _: object) -> None:
        worker = self._workers.get(number)
        if worker is not None:
            self._dismiss(worker)
            self.nudge()
