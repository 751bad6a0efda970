"""Processes of their own: Ctrl-C, the end of the interpreter, fork."""

import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import LONG, until

PRELUDE = """
import os, signal, sys, threading, time, warnings
import quorate

class Gate:
    def __init__(self): self.entered, self.open = threading.Event(), threading.Event()
    def commit(self, entries):
        self.entered.set()
        self.open.wait()
        return [b"ok"] * len(entries)

class Log:
    def __init__(self): self.data = []
    def commit(self, entries): self.data += [entry.data for entry in entries]
"""


def check(code: str, *arguments: str) -> str:
    """What a script prints that ends well and without a word on stderr."""
    command = [sys.executable, "-X", "dev", "-c", PRELUDE + textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * LONG)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


@pytest.mark.parametrize(
    "wait",
    [
        'service.propose_wait(b"x")',
        "service.applied_tracker.wait(10**9)",
        "quorate.ChangeTracker().timed_wait(1, 1000)",
        "service.read_barrier()",
        "list(service.events())",
    ],
)
def test_ctrl_c_ends_a_wait(tmp_path: Path, wait: str) -> None:
    """The signal comes from outside, while the main thread is inside the wait."""
    code = f"""
    gate = Gate()
    with quorate.Service.start(gate, data_dir=sys.argv[1]) as service:
        threading.Thread(target=service.submit, args=(b"first",)).start()
        gate.entered.wait()
        try:
            print("waiting", flush=True)
            {wait}
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        gate.open.set()
        print(service.propose_wait(b"on", timeout=30).data)
    """
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code), str(tmp_path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert interrupt(process) == "interrupted\nb'ok'\n"


def test_ctrl_c_ends_a_close_that_hangs(tmp_path: Path) -> None:
    code = """
    gate = Gate()
    service = quorate.Service.start(gate, data_dir=sys.argv[1])
    service.submit(b"first")
    gate.entered.wait()
    try:
        print("waiting", flush=True)
        service.close()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    gate.open.set()
    service.close()
    print(service.state)
    """
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code), str(tmp_path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert interrupt(process) == "interrupted\nStopped\n"


def interrupt(process: "subprocess.Popen[str]") -> str:
    """Sends SIGINT once the main thread is inside its wait, which wakes up now and then to look for
    signals; what is printed after that."""
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            before = wake_ups(process.pid)
            until(lambda: wake_ups(process.pid) >= before + 3)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=LONG)
            assert (errors, process.returncode) == ("", 0)
            return output
        finally:
            process.kill()


def wake_ups(pid: int) -> int:
    status = Path(f"/proc/{pid}/task/{pid}/status").read_text()
    return int(re.findall(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.M)[0])


def test_a_signal_handler_may_wait_itself(tmp_path: Path) -> None:
    output = check(
        """
        gate = Gate()
        service = quorate.Service.start(gate, data_dir=sys.argv[1])
        tracker = quorate.ChangeTracker()
        tracker.update(3)
        def handler(number, frame):
            print("handler", tracker.wait(2), tracker.timed_wait(9, 0.01), flush=True)
            gate.open.set()
        signal.signal(signal.SIGUSR1, handler)
        def poke():
            gate.entered.wait()
            os.kill(os.getpid(), signal.SIGUSR1)
        threading.Thread(target=poke).start()
        print(service.propose_wait(b"x").data)
        service.close()
        """,
        str(tmp_path),
    )
    assert output == "handler 3 3\nb'ok'\n"


def test_the_interpreter_ends_with_services_open(tmp_path: Path) -> None:
    output = check(
        """
        services = [quorate.Service.start(Log(), storage="memory") for _ in range(3)]
        disk = quorate.Service.start(Log(), data_dir=sys.argv[1])
        futures = [disk.submit(b"%d" % n) for n in range(200)]
        print(disk.propose_wait(b"last", timeout=30).index > 200)
        """,
        str(tmp_path),
    )
    assert output == "True\n"


def test_a_daemon_thread_may_follow_events_until_the_end(tmp_path: Path) -> None:
    check(
        """
        service = quorate.Service.start(Log(), data_dir=sys.argv[1])
        inside = threading.Event()
        def follow():
            for event in service.events():
                inside.set()
        threading.Thread(target=follow, daemon=True).start()
        inside.wait()
        """,
        str(tmp_path),
    )


def test_daemon_threads_leave_their_calls_before_the_end(tmp_path: Path) -> None:
    check(
        """
        service = quorate.Service.start(Log(), data_dir=sys.argv[1])
        inside = threading.Semaphore(0)
        def wait():
            inside.release()
            service.applied_tracker.wait(10**9)
        for _ in range(8):
            threading.Thread(target=wait, daemon=True).start()
        for _ in range(8):
            inside.acquire()
        """,
        str(tmp_path),
    )


def test_the_interpreter_ends_while_commits_run(tmp_path: Path) -> None:
    check(
        """
        service = quorate.Service.start(Log(), data_dir=sys.argv[1])
        def feed():
            while True:
                try:
                    service.submit(b"x" * 100)
                except quorate.Busy:
                    pass
                except quorate.Closed:
                    return
        threading.Thread(target=feed, daemon=True).start()
        service.applied_tracker.wait(100)
        """,
        str(tmp_path),
    )


def test_a_state_machine_that_fails_does_not_end_the_process(tmp_path: Path) -> None:
    output = check(
        """
        class Failing:
            def commit(self, entries): raise SystemExit(3)
        service = quorate.Service.start(Failing(), data_dir=sys.argv[1])
        try:
            service.propose_wait(b"x", timeout=30)
        except quorate.QuorateError as error:
            print(type(error.__cause__).__name__)
        try:
            service.close()
        except quorate.StateMachineFailed:
            print("failed")
        """,
        str(tmp_path),
    )
    assert output == "SystemExit\nfailed\n"


def test_a_service_that_its_own_state_machine_drops_is_closed(tmp_path: Path) -> None:
    """Closing waits for the thread that commits, so it can't be done there."""
    output = check(
        """
        warnings.simplefilter("ignore", ResourceWarning)
        class Dropping(Log):
            service = None
            def commit(self, entries):
                self.service = None
        machine = Dropping()
        machine.service = quorate.Service.start(machine, data_dir=sys.argv[1])
        tracker = machine.service.applied_tracker
        machine.service.submit(b"x")
        tracker.wait(10**9)
        print("released")
        deadline = time.monotonic() + 30
        while True:
            try:
                quorate.Service.start(Log(), data_dir=sys.argv[1]).close()
                break
            except quorate.Locked:
                assert time.monotonic() < deadline
        print("closed")
        """,
        str(tmp_path),
    )
    assert output == "released\nclosed\n"


def test_a_forked_child_is_refused_and_the_parent_goes_on(tmp_path: Path) -> None:
    output = check(
        """
        warnings.simplefilter("ignore", DeprecationWarning)
        service = quorate.Service.start(Log(), data_dir=sys.argv[1])
        tracker, events = service.applied_tracker, service.events()
        service.submit(b"before").result(30)
        child = os.fork()
        if child == 0:
            refused = 0
            for call in (
                lambda: service.propose_wait(b"x"),
                lambda: service.propose(b"x"),
                lambda: service.submit(b"x"),
                lambda: service.read_barrier(),
                lambda: service.state,
                lambda: service.my_id,
                lambda: service.node_config,
                lambda: service.report(),
                lambda: tracker.wait(0),
                lambda: tracker.update(1),
                lambda: service.events(),
                lambda: next(events),
                lambda: service.deliver(b"x"),
                lambda: quorate.storage_check(print),
            ):
                try:
                    call()
                except quorate.Forked as error:
                    refused += isinstance(error, quorate.Closed) and "fork" in str(error)
            service.close()
            del service
            sys.stdout.flush()
            os._exit(refused)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status))
        print(service.propose_wait(b"after", timeout=30).index > 0)
        service.close()
        """,
        str(tmp_path),
    )
    assert output == "14\nTrue\n"


def test_a_forked_child_can_end_as_usual(tmp_path: Path) -> None:
    output = check(
        """
        warnings.simplefilter("ignore", DeprecationWarning)
        service = quorate.Service.start(Log(), data_dir=sys.argv[1])
        service.submit(b"x").result(30)
        child = os.fork()
        if child == 0:
            sys.exit(7)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status))
        service.close()
        """,
        str(tmp_path),
    )
    assert output == "7\n"
