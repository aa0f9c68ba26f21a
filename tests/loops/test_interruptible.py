"""Waiting for another thread's outcome: results, errors, and signals that come meanwhile."""

from __future__ import annotations

import _thread
import signal
import threading
from concurrent.futures import Future

import pytest

from traceprobe.loops import outcome_of
from traceprobe.loops._interruptible import wait_for_news


def test_the_outcome_is_a_result_or_an_error() -> None:
    future: Future[int] = Future()
    threading.Timer(0.01, future.set_result, [7]).start()
    assert outcome_of(future) == 7
    assert outcome_of(future) == 7
    future = Future()
    threading.Timer(0.01, future.set_exception, [KeyError("x")]).start()
    with pytest.raises(KeyError, match="x"):
        outcome_of(future)


def test_the_wait_of_windows_ends_with_the_future_and_leaves_the_wake_up_descriptor_as_it_was() -> None:
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    future: Future[int] = Future()
    threading.Timer(0.01, future.set_result, [7]).start()
    wait_for_news(future)
    assert future.done()
    wait_for_news(future)
    assert signal.set_wakeup_fd(before) == before


class RaisedError(Exception):
    """What the handler of a test raises."""


def test_the_wait_of_windows_is_interrupted_by_a_handler_that_raises() -> None:
    def handler(number: int, frame: object) -> None:
        raise RaisedError

    before = signal.signal(signal.SIGINT, handler)
    future: Future[int] = Future()
    try:
        threading.Timer(0.05, _thread.interrupt_main, [signal.SIGINT]).start()
        with pytest.raises(RaisedError):
            wait_for_news(future)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not future.done()
    future.set_result(7)  # tells nobody, and breaks nothing


def test_the_wait_of_windows_goes_on_after_a_handler_that_returns() -> None:
    future: Future[int] = Future()
    calls = []

    def handler(number: int, frame: object) -> None:
        calls.append(number)
        threading.Timer(0.01, future.set_result, [7]).start()

    before = signal.signal(signal.SIGINT, handler)
    try:
        threading.Timer(0.05, _thread.interrupt_main, [signal.SIGINT]).start()
        wait_for_news(future)
    finally:
        signal.signal(signal.SIGINT, before)
    assert calls == [signal.SIGINT]
    assert future.result() == 7
