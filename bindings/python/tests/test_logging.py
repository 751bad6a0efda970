"""Log lines: where they go, what they say, and that nobody is held up or killed by them."""

import contextlib
import gc
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import quorate
import quorate.aio
from conftest import LOCAL, LONG, Cluster, Failing, Log, Start, until


class Kept(logging.Handler):
    def __init__(self, emit: Callable[[logging.LogRecord], None] | None = None) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.also = emit

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if self.also is not None:
            self.also(record)


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    """One that wants everything and is heard by nobody else."""
    logger = logging.getLogger(f"test.{request.node.name}")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)


def test_lines_go_to_the_logger_of_the_library(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "quorate"):
        service = start(listen=LOCAL)
        service.initialize_cluster(service.address, timeout=LONG)
        service.close()
    lines = [record for record in caplog.records if record.name == "quorate"]
    texts = [record.getMessage() for record in lines]
    assert texts[0].startswith("opened a log") and texts[-1] == "closed"
    assert any(text.startswith("leads in term") for text in texts)
    assert {record.levelno for record in lines} == {logging.INFO}


def test_a_record_says_who_wrote_it_and_where(start: Start, logger: logging.Logger) -> None:
    kept = Kept()
    logger.addHandler(kept)
    service = start(logger=logger)
    record: Any = kept.records[0]
    assert (record.node_id, record.target) == (service.my_id, "quorate::store")
    assert record.name == logger.name and record.levelname == "INFO"
    assert record.filename == "start.rs" and record.lineno > 0
    assert (
        logging.Formatter("%(node_id)d %(target)s: %(message)s")
        .format(record)
        .startswith(f"{service.my_id} quorate::store: opened a log")
    )


def test_each_service_has_its_logger(start: Start, logger: logging.Logger) -> None:
    kept = [Kept(), Kept()]
    services = []
    for n, handler in enumerate(kept):
        child = logger.getChild(str(n))
        child.addHandler(handler)
        services.append(start(logger=child))
    for service in services:
        service.close()
    ids = [{record.node_id for record in handler.records} for handler in kept]  # type: ignore[attr-defined]
    assert ids == [{service.my_id} for service in services]


def test_failures_are_errors(start: Start, logger: logging.Logger) -> None:
    kept = Kept()
    logger.addHandler(kept)
    logger.setLevel(logging.ERROR)
    service = start(Failing(), logger=logger)
    service.submit(b"bad").exception(LONG)
    with pytest.raises(quorate.StateMachineFailed):
        service.close()
    assert [record.levelno for record in kept.records] == [logging.ERROR]
    assert "no such number" in kept.records[0].getMessage()


def test_whoever_reads_of_a_failure_is_refused(start: Start, logger: logging.Logger) -> None:
    """And not taken in first and interrupted after that."""
    outcomes: list[object] = []
    running: list[quorate.Service] = []

    def call(record: logging.LogRecord) -> None:
        if record.levelno == logging.ERROR:
            try:
                outcomes.append(running[0].submit(b"late"))
            except quorate.QuorateError as error:
                outcomes.append(error)

    logger.addHandler(Kept(call))
    running.append(start(Failing(), logger=logger))
    running[0].submit(b"bad").exception(LONG)
    with pytest.raises(quorate.StateMachineFailed):
        running[0].close()
    assert [type(outcome) for outcome in outcomes] == [quorate.StateMachineFailed]


def test_lines_that_nobody_wants_are_not_made(start: Start, logger: logging.Logger) -> None:
    """The level is looked at when the service starts, and again for each line that comes."""
    kept = Kept()
    logger.addHandler(kept)
    logger.setLevel(logging.CRITICAL)
    service = start(logger=logger)
    logger.setLevel(logging.DEBUG)
    service.close()
    assert kept.records == [], "it was not enabled at the start"
    service = start(logger=logger)
    assert kept.records
    logger.setLevel(logging.CRITICAL)
    before = len(kept.records)
    service.close()
    assert len(kept.records) == before


def test_a_program_that_configured_nothing_reads_nothing(tmp_path: Path) -> None:
    code = """
import quorate, sys
class Bad:
    def commit(self, entries): raise ValueError("no")
service = quorate.Service.start(Bad(), data_dir=sys.argv[1])
service.submit(b"x").exception()
try:
    service.close()
except quorate.StateMachineFailed:
    print("failed")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=LONG
    )
    assert (done.stdout, done.stderr) == ("failed\n", "")


def test_a_logger_that_raises_is_shown_and_stops_nothing(
    start: Start, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda raised: shown.append(raised.exc_value))

    def fail(record: logging.LogRecord) -> None:
        raise ZeroDivisionError(record.getMessage())

    logger.addHandler(Kept(fail))
    service = start(logger=logger)
    assert service.propose_wait(b"x", timeout=LONG).data == b"X"
    service.close()
    assert len(shown) >= 2 and {type(error) for error in shown} == {ZeroDivisionError}


def test_a_handler_may_look_but_not_wait(start: Start, logger: logging.Logger) -> None:
    outcomes: list[object] = []
    running: list[quorate.Service] = []

    def call(record: logging.LogRecord) -> None:
        for service in running:
            outcomes.append(service.state)
            with contextlib.suppress(quorate.InCallback):
                service.read_barrier()
                outcomes.append("it waited")

    logger.addHandler(Kept(call))
    service = start(listen=LOCAL, logger=logger)
    running.append(service)
    service.initialize_cluster(service.address, timeout=LONG)
    running.clear()
    assert outcomes and all(isinstance(outcome, quorate.State) for outcome in outcomes)


def test_closing_waits_for_a_line_that_is_written(start: Start, logger: logging.Logger) -> None:
    """With the GIL released, or this would never end."""
    entered, go_on = threading.Event(), threading.Event()

    def block(record: logging.LogRecord) -> None:
        if record.getMessage() == "closed":
            entered.set()
            assert go_on.wait(LONG)

    logger.addHandler(Kept(block))
    service = start(logger=logger)
    closing = threading.Thread(target=service.close)
    closing.start()
    assert entered.wait(LONG)
    assert closing.is_alive()
    until(lambda: service.state is quorate.State.STOPPING)
    go_on.set()
    closing.join(LONG)
    assert not closing.is_alive() and service.state is quorate.State.STOPPED


def test_a_service_that_is_lost_while_it_writes(tmp_path: Path, logger: logging.Logger) -> None:
    """The collector closes it, on whatever thread that runs, the writing one included."""
    collected = threading.Event()

    def collect(record: logging.LogRecord) -> None:
        gc.collect()
        collected.set()

    logger.addHandler(Kept(collect))
    for n in range(3):
        machine: Any = Log()
        machine.service = quorate.Service.start(machine, data_dir=tmp_path / str(n), logger=logger)
        running = machine.service
        closing = threading.Thread(target=running._close)
        closing.start()
        del running, machine
        closing.join(LONG)
        assert not closing.is_alive()
    assert collected.is_set()


def test_many_services_write_and_close_at_once(start: Start, logger: logging.Logger) -> None:
    kept = Kept(lambda record: until(lambda: True))
    logger.addHandler(kept)

    def live() -> None:
        service = start(storage="memory", listen=LOCAL, logger=logger)
        service.initialize_cluster(service.address, timeout=LONG)
        service.propose_wait(b"x", timeout=LONG)
        logging.getLogger(logger.name).info("a line of the host's own")
        service.close()

    threads = [threading.Thread(target=live) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()
    texts = [record.getMessage() for record in kept.records]
    assert texts.count("closed") == texts.count("a line of the host's own") == 8


def test_a_cluster_tells_who_leads(cluster: Cluster, start: Start, logger: logging.Logger) -> None:
    kept = Kept()
    logger.addHandler(kept)
    service = start(listen=LOCAL, logger=logger)
    cluster.leader.add_node(service.address, timeout=LONG)
    leader = quorate.format_node_id(cluster.leader.my_id)
    texts = [record.getMessage() for record in kept.records]
    assert any(text.startswith(f"follows node {leader} in term") for text in texts)


async def test_loggers_of_asyncio(tmp_path: Path, logger: logging.Logger) -> None:
    kept = Kept()
    logger.addHandler(kept)
    async with await quorate.aio.Service.start(Log(), data_dir=tmp_path, logger=logger):
        pass
    assert kept.records[-1].getMessage() == "closed"


def test_what_is_no_logger_is_refused(start: Start) -> None:
    for wrong in ("quorate", print, logging.LoggerAdapter(logging.getLogger(), {})):
        with pytest.raises(TypeError, match=r"logging\.Logger is wanted"):
            start(logger=wrong)


def test_lines_until_the_very_end_of_the_interpreter(tmp_path: Path) -> None:
    code = """
import logging, quorate, sys
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
class Log:
    def commit(self, entries): pass
service = quorate.Service.start(Log(), data_dir=sys.argv[1])
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("closed\n")
