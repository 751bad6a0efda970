"""Starts on asyncio that are cancelled: whenever that is, the service is closed and not lost."""

import asyncio
import contextlib
import gc
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import quorate
from conftest import LONG, Log
from quorate.aio import Service


class Slow(Log):
    """One that opens when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.opening = threading.Event()
        self.go_on = threading.Event()

    def open(self) -> quorate.Applied:
        self.opening.set()
        assert self.go_on.wait(LONG), "the test never let it open"
        return quorate.Applied()


async def cancelled_start(machine: Slow, data_dir: Path) -> None:
    starting = asyncio.ensure_future(Service.start(machine, data_dir=data_dir))
    await asyncio.to_thread(machine.opening.wait, LONG)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_a_cancelled_start_leaves_nothing_open(tmp_path: Path) -> None:
    machine = Slow()
    await cancelled_start(machine, tmp_path)
    machine.go_on.set()
    async with asyncio.timeout(LONG):
        while True:
            try:
                async with await Service.start(Log(), data_dir=tmp_path):
                    return
            except quorate.Locked:
                await asyncio.sleep(0.01)


@contextlib.contextmanager
def nothing_lost(data_dir: Path) -> Iterator[None]:
    """What was started meanwhile in the directory was closed, and not by being lost."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert not heard
    quorate.Service.start(Log(), data_dir=data_dir).close()


def test_a_cancelled_start_may_outlive_its_loop(tmp_path: Path) -> None:
    machine, loop = Slow(), asyncio.new_event_loop()
    with nothing_lost(tmp_path):
        loop.run_until_complete(cancelled_start(machine, tmp_path))
        for task in asyncio.all_tasks(loop):
            task.cancel()  # as asyncio.run does
        loop.run_until_complete(asyncio.sleep(0))
        machine.go_on.set()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def test_a_start_may_end_as_it_is_cancelled(tmp_path: Path) -> None:
    told = threading.Event()

    class Loop(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *args: Any, **more: Any) -> asyncio.Handle:  # type: ignore[override]
            told.set()
            return super().call_soon_threadsafe(*args, **more)

    async def cancel() -> None:
        starting = asyncio.ensure_future(Service.start(Log(), data_dir=tmp_path))
        await asyncio.sleep(0)
        assert told.wait(LONG)  # the loop has no turn before it is cancelled
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    with nothing_lost(tmp_path), asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(cancel())
