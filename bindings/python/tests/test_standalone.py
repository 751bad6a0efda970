"""A service alone: writing, reading, looking, and coming back from its own disk."""

import concurrent.futures
from pathlib import Path
from typing import Any

import pytest
import quorate
from conftest import LOCAL, LONG, Gate, Log, Start


def test_a_new_service_is_standalone(service: quorate.Service) -> None:
    assert service.state is quorate.State.STANDALONE
    assert (service.cluster_id, service.node_config) == (0, quorate.NodeList())
    assert service.my_id == quorate.parse_node_id(quorate.format_node_id(service.my_id)) > 0
    assert service.membership_change_mode is quorate.MembershipChangeMode.STABLE
    assert repr(service).startswith("<quorate.Service ")
    assert service.address == ""


def test_propose_wait_gives_the_reply_of_the_state_machine(start: Start) -> None:
    log = Log()
    service = start(log)
    reply = service.propose_wait(b"one", timeout=LONG)
    assert (reply.data, reply.index, reply.term) == (
        b"ONE",
        log.entries[0].index,
        log.entries[0].term,
    )
    assert log.data == [b"one"]
    assert service.last_applied == service.commit_index == reply.index
    assert service.last_index == quorate.Position(reply.index, reply.term)
    assert service.current_term == reply.term
    assert service.first_index == 1


def test_propose_gives_the_position(start: Start) -> None:
    log = Log()
    service = start(log)
    service.read_barrier(timeout=LONG)  # it leads itself now
    position = service.propose(b"one", timeout=LONG)
    assert service.applied_tracker.wait(position.index) >= position.index
    assert (log.entries[0].index, log.entries[0].term) == (position.index, position.term)


def test_an_entry_keeps_all_that_it_was_given(start: Start) -> None:
    log = Log()
    given = quorate.Entry(b"\0data", tags=("a", "", "é"), type=7, timestamp_ns=-12)
    reply = start(log).propose_wait(given, timeout=LONG)
    [entry] = log.entries
    assert (entry.data, entry.tags, entry.type, entry.timestamp_ns) == (
        b"\0data",
        ("a", "", "é"),
        7,
        -12,
    )
    assert (entry.index, entry.term) == (reply.index, reply.term)
    assert entry.data is entry.data, "the bytes are made once"
    assert (given.index, given.term) == (0, 0)
    assert repr(entry) == f"<quorate.Entry {entry.index}@{entry.term} type=7, 5 bytes>"


def test_a_committed_entry_can_be_proposed_again(start: Start) -> None:
    log = Log()
    service = start(log)
    service.propose_wait(quorate.Entry(b"x", tags=["t"], type=3), timeout=LONG)
    service.propose_wait(log.entries[0], timeout=LONG)
    first, second = log.entries
    assert (second.data, second.tags, second.type) == (first.data, first.tags, first.type)
    assert second.index > first.index


@pytest.mark.parametrize("change", [b"", bytearray(b"abc"), memoryview(b"xabcx")[1:4]])
def test_anything_with_bytes_is_a_change(start: Start, change: quorate.Bytes) -> None:
    log = Log()
    start(log).propose_wait(change, timeout=LONG)
    assert log.data == [bytes(change)]


def test_a_large_change_comes_through(start: Start) -> None:
    log, data = Log(), bytes(range(256)) * 4000
    service = start(log)
    service.propose_wait(data, timeout=LONG)
    assert service.submit(data, timeout=LONG).result(LONG).data == data.upper()
    assert log.data == [data, data]


@pytest.mark.parametrize("change", ["text", 7, None, [1, 2]])
def test_what_has_no_bytes_is_refused(service: quorate.Service, change: object) -> None:
    with pytest.raises(TypeError, match="a change is bytes"):
        service.propose_wait(change)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a change is bytes"):
        service.submit(change)  # type: ignore[arg-type]


def test_what_the_engine_refuses_says_why(start: Start) -> None:
    service = start(max_entry_bytes=1024)
    with pytest.raises(quorate.InvalidArgument, match="reserved"):
        service.propose_wait(quorate.Entry(b"x", type=-1))
    with pytest.raises(quorate.TooLarge, match="max_entry_bytes"):
        service.propose_wait(b"x" * 2000)
    with pytest.raises(ValueError, match="max_entry_bytes"):
        service.submit(b"x" * 2000)
    with pytest.raises(TypeError, match="tags"):
        quorate.Entry(b"x", tags="abc")
    with pytest.raises(ValueError, match="not a number"):
        service.propose_wait(b"x", timeout=float("nan"))


def test_replies_may_be_none(start: Start) -> None:
    class Quiet:
        def commit(self, entries: object) -> None:
            return None

    class Half:
        def commit(self, entries: list[quorate.Entry]) -> tuple[bytes | None, ...]:
            return tuple(entry.data if entry.data else None for entry in entries)

    assert start(Quiet()).propose_wait(b"x", timeout=LONG).data == b""
    half = start(Half())
    assert half.propose_wait(b"x", timeout=LONG).data == b"x"
    assert half.propose_wait(b"", timeout=LONG).data == b""


def test_submit_completes_futures_in_order(start: Start) -> None:
    log = Log()
    service = start(log)
    futures = [service.submit(b"%d" % n, timeout=LONG) for n in range(1000)]
    assert not concurrent.futures.wait(futures, LONG).not_done
    assert [future.result().data for future in futures] == [b"%d" % n for n in range(1000)]
    assert log.data == [b"%d" % n for n in range(1000)]
    indices = [future.result().index for future in futures]
    assert indices == sorted(set(indices))
    assert max(log.batches) > 1, "commits come in batches"


def test_a_cancelled_future_leaves_its_change_alone(start: Start) -> None:
    gate = Gate()
    service = start(gate)
    future = service.submit(b"one")
    assert gate.entered.wait(LONG)
    assert future.cancel()
    gate.open.set()
    assert service.propose_wait(b"two", timeout=LONG).data == b"TWO"
    assert gate.data == [b"one", b"two"]
    assert future.cancelled()


def test_a_full_queue_is_busy_at_once(start: Start) -> None:
    gate = Gate()
    service = start(gate, max_queued_entries=16)
    futures = []
    with pytest.raises(quorate.Busy) as raised:
        for n in range(1000):
            futures.append(service.submit(b"%d" % n, timeout=LONG))
    assert raised.value.outcome is quorate.Outcome.NOT_DONE
    gate.open.set()
    assert [future.result(LONG).data for future in futures] == gate.data
    assert len(futures) >= 16 and service.propose_wait(b"on", timeout=LONG).data == b"ON"


def test_a_read_barrier_returns(start: Start) -> None:
    log = Log()
    service = start(log)
    service.propose_wait(b"x", timeout=LONG)
    service.read_barrier(timeout=LONG)
    assert log.data == [b"x"], "what was acknowledged before it is applied"


def test_time_outs_are_errors_of_their_own(start: Start) -> None:
    gate = Gate()
    service = start(gate)
    service.read_barrier(timeout=LONG)  # it leads itself now
    with pytest.raises(quorate.TimedOut) as raised:
        service.propose_wait(b"x", timeout=0.05)
    gate.open.set()
    assert raised.value.outcome is quorate.Outcome.UNKNOWN
    assert isinstance(raised.value, TimeoutError) and isinstance(
        raised.value, quorate.OutcomeUnknown
    )


def test_a_restart_replays_what_was_written(start: Start, tmp_path: Path) -> None:
    service = start(data_dir=tmp_path / "node")
    me = service.my_id
    replies = [service.propose_wait(b"%d" % n, timeout=LONG) for n in range(10)]
    service.close()
    log = Log()
    with quorate.Service.start(log, data_dir=tmp_path / "node") as again:
        again.read_barrier(timeout=LONG)
        assert again.my_id == me
        assert log.data == [b"%d" % n for n in range(10)]
        assert [entry.index for entry in log.entries] == [reply.index for reply in replies]


def test_a_durable_state_machine_says_where_it_is(start: Start, tmp_path: Path) -> None:
    class Durable(Log):
        def __init__(self, applied: quorate.Applied) -> None:
            super().__init__()
            self.applied = applied

        def open(self) -> quorate.Applied:
            return self.applied

    service = start(Durable(quorate.Applied()), data_dir=tmp_path / "node")
    replies = [service.propose_wait(b"%d" % n, timeout=LONG) for n in range(4)]
    service.close()
    known = quorate.Applied(replies[1].index, replies[1].term)
    log = Durable(known)
    with quorate.Service.start(log, data_dir=tmp_path / "node") as again:
        again.read_barrier(timeout=LONG)
        assert log.data == [b"2", b"3"]
    ahead = Durable(quorate.Applied(replies[3].index + 1000))
    with pytest.raises(quorate.StateMachineMismatch):
        quorate.Service.start(ahead, data_dir=tmp_path / "node")
    other = Durable(quorate.Applied(replies[1].index, replies[1].term + 7))
    with pytest.raises(quorate.StateMachineMismatch):
        quorate.Service.start(other, data_dir=tmp_path / "node")


def test_sled_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    for run in range(2):
        log = Log()
        with quorate.Service.start(log, data_dir=tmp_path / "node", storage="sled") as service:
            service.propose_wait(b"%d" % run, timeout=LONG)
            assert log.data == [b"0", b"1"][: run + 1]


@pytest.mark.parametrize(("store", "other"), [("wal", "sled"), ("sled", "wal")])
def test_a_directory_of_the_other_store_is_refused(tmp_path: Path, store: Any, other: Any) -> None:
    quorate.Service.start(Log(), data_dir=tmp_path, storage=store).close()
    with pytest.raises(quorate.InvalidArgument, match=f"Set storage={store}"):
        quorate.Service.start(Log(), data_dir=tmp_path, storage=other)
    quorate.Service.start(Log(), data_dir=tmp_path, storage=store).close()  # nothing was touched


def test_memory_needs_no_directory(start: Start) -> None:
    service = start(storage="memory")
    assert service.propose_wait(b"x", timeout=LONG).data == b"X"


def test_a_context_manager_closes(tmp_path: Path) -> None:
    with quorate.Service.start(Log(), data_dir=tmp_path) as service:
        service.propose_wait(b"x", timeout=LONG)
    assert service.state is quorate.State.STOPPED
    assert service.my_id > 0, "looking goes on to work"
    for call in (service.propose, service.propose_wait, service.submit):
        with pytest.raises(quorate.Closed):
            call(b"x")
    with pytest.raises(quorate.Closed):
        service.read_barrier()
    service.close()


def test_a_directory_is_open_once(service: quorate.Service, tmp_path: Path) -> None:
    with pytest.raises(quorate.Locked) as raised:
        quorate.Service.start(Log(), data_dir=tmp_path / "0")
    assert isinstance(raised.value, OSError)
    assert str(tmp_path) in str(raised.value)


def test_an_address_is_taken_once(start: Start, tmp_path: Path) -> None:
    first = start(listen=LOCAL)
    with pytest.raises(quorate.AddressInUse, match=first.address):
        start(listen=first.address)


def test_reports_are_texts(service: quorate.Service) -> None:
    import json

    assert isinstance(json.loads(service.report()), dict)
    assert isinstance(json.loads(service.report("json")), dict)
    assert "quorate_" in service.report("prometheus")
    with pytest.raises(ValueError, match="prometheus"):
        service.report("xml")  # type: ignore[arg-type]


def test_the_status_of_a_standalone_service_has_no_peers(service: quorate.Service) -> None:
    assert service.raft_status == quorate.ProtocolStatus({})
