"""A network of the host's own: a cluster on it, what may go wrong on the way, and bad input."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import quorate
from conftest import LOCAL, LONG, Start, insist, until
from memory_store import MemoryStore, change_method
from quorate import EventKind, FrameKind, State
from unix_network import Trouble, UnixCluster, lost, unharmed


@pytest.fixture
def cluster(start: Start, tmp_path: Path) -> Iterator[UnixCluster]:
    cluster = UnixCluster(tmp_path, start, 3)
    yield cluster
    cluster.close()
    assert [network.wrong for network in cluster.networks] == [[], [], []]


def converge(cluster: UnixCluster) -> list[bytes]:
    """What all have applied in the end, which is the same."""
    for service in cluster.services:
        service.read_barrier(timeout=LONG)
    datas = [log.data for log in cluster.logs]
    assert datas[0] == datas[1] == datas[2]
    return datas[0]


def test_a_cluster_forms_and_replicates(cluster: UnixCluster) -> None:
    cluster.form()
    addresses = [node.address for node in cluster.services[2].node_config.current]
    assert sorted(addresses) == sorted(network.address for network in cluster.networks)
    assert cluster.services[1].propose_wait(b"one", timeout=LONG).data == b"ONE"
    futures = [cluster.services[2].submit(b"%d" % n) for n in range(200)]
    assert all(future.result(LONG) for future in futures)
    assert converge(cluster) == [b"one", *(b"%d" % n for n in range(200))]
    assert cluster.services[0].address == "", "it does not listen itself"


def test_frames_are_of_every_kind(cluster: UnixCluster) -> None:
    cluster.form()
    change_leader(cluster)
    seen = sum((network.delivered for network in cluster.networks), Counter())
    assert {FrameKind.APPEND, FrameKind.REQUEST_VOTE, FrameKind.JOIN} <= set(seen)
    assert not any(network.refused for network in cluster.networks)


def leader_of(cluster: UnixCluster) -> int:
    """The number of the one that leads, in the highest term if an older one does not know yet."""
    states = [(s.current_term, s.state is State.LEADER, n) for n, s in enumerate(cluster.services)]
    term, _, number = max((state for state in states if state[1]), default=(0, False, -1))
    return number if term else -1


def change_leader(cluster: UnixCluster) -> int:
    """Cuts the leader off until the others have another one; the number of the old one."""
    old = leader_of(cluster)
    other = cluster.services[(old + 1) % 3]
    events = other.events()
    old_id = cluster.services[old].my_id
    cluster.networks[old].outgoing = cluster.networks[old].incoming = lost
    cluster.services[old].submit(b"never acknowledged")
    for event in events:
        if event.kind is EventKind.LEADER and event.node_id not in (0, old_id):
            break
    insist(other, b"without the old leader")
    return old


def test_another_one_leads_when_the_leader_is_cut_off(cluster: UnixCluster) -> None:
    cluster.form()
    insist(cluster.services[0], b"before")
    old = change_leader(cluster)
    alone = cluster.services[old]
    cluster.networks[old].outgoing = cluster.networks[old].incoming = unharmed
    until(lambda: alone.leader_id not in (0, alone.my_id))
    data = converge(cluster)
    assert data[:2] == [b"before", b"without the old leader"]


def test_a_truncation_that_fails_stops_the_service(start: Start, tmp_path: Path) -> None:
    """The old leader has to remove what was never committed."""
    stores: list[MemoryStore] = []

    def fail(store: MemoryStore, truncate: Any, first: int) -> None:
        raise ZeroDivisionError("no such number")

    def new_store() -> MemoryStore:
        stores.append(MemoryStore())
        return stores[-1]

    cluster = UnixCluster(tmp_path, start, 3, new_store)
    cluster.form()
    number = change_leader(cluster)
    old, network = cluster.services[number], cluster.networks[number]
    change_method(stores[number], "truncate_suffix", fail)
    network.outgoing = network.incoming = unharmed
    until(lambda: old.state is State.FAILED)
    with pytest.raises(quorate.StorageFailed, match=r"truncate_suffix\(\) .*no such number"):
        old.close()
    cluster.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_cluster_survives_whatever_happens_to_frames(cluster: UnixCluster, seed: int) -> None:
    """Lost, repeated, reordered, late and altered ones."""
    cluster.form()
    troubles = [Trouble(3 * seed + n) for n in range(3)]
    cluster.each("incoming", troubles)
    acknowledged: list[bytes] = []
    for n in range(30):
        insist(cluster.services[n % 3], b"%d" % n)
        acknowledged.append(b"%d" % n)
    change_leader(cluster)
    cluster.each("outgoing", [unharmed] * 3)
    cluster.each("incoming", troubles)
    for n in range(30, 40):
        insist(cluster.services[n % 3], b"%d" % n)
        acknowledged.append(b"%d" % n)
    cluster.each("incoming", [unharmed] * 3)
    data = converge(cluster)
    assert [word for word in data if word in acknowledged] == acknowledged
    assert len(data) <= 42, "a repeated frame is no repeated change"
    done = sum((trouble.done for trouble in troubles), Counter())
    assert all(done[what] > 0 for what in ("pass", "lose", "repeat", "hold", "alter"))
    refused = [error for network in cluster.networks for error in network.refused]
    assert len(refused) == done["alter"], "those that were altered, and no others"
    assert {type(error) for error in refused} == {quorate.InvalidArgument}


def test_what_send_raises_makes_a_node_unreachable(start: Start, tmp_path: Path) -> None:
    class Broken:
        def send(self, node_id: int, address: str, frame: bytes) -> None:
            raise ConnectionRefusedError("the cable is out")

    service = start(storage="memory", transport=Broken())
    with pytest.raises(quorate.Unreachable, match="the cable is out"):
        service.initialize_cluster("anywhere", timeout=LONG)
    assert service.propose_wait(b"alone", timeout=LONG).data == b"ALONE", "it works on"


def test_send_is_called_with_what_it_needs(start: Start) -> None:
    sent: list[tuple[int, str, bytes]] = []
    arrived = threading.Event()

    class Keeping:
        def send(self, node_id: int, address: str, frame: bytes) -> None:
            sent.append((node_id, address, frame))
            arrived.set()

    service = start(storage="memory", transport=Keeping())
    with pytest.raises(quorate.QuorateError):
        service.initialize_cluster("nobody/ünknown", timeout=0.2)
    assert arrived.wait(LONG)
    node_id, address, frame = sent[0]
    assert (node_id, address) == (0, "nobody/ünknown")
    assert type(frame) is bytes and quorate.frame_kind(frame) is FrameKind.JOIN
    assert quorate.frame_kind(memoryview(frame)) is FrameKind.JOIN
    check_calls_by_kind(service, frame)


def check_calls_by_kind(service: quorate.Service, frame: bytes) -> None:
    for call in (service.deliver, service.join):
        call(frame)
        call(bytearray(frame))
    for call in (service.append, service.request_vote):
        with pytest.raises(quorate.InvalidArgument, match="kind Join"):
            call(frame)


def test_send_may_look_but_not_wait(start: Start) -> None:
    outcomes: list[object] = []

    class Calling:
        service: quorate.Service | None = None

        def send(self, node_id: int, address: str, frame: bytes) -> None:
            if self.service is not None and not outcomes:
                outcomes.append(self.service.state)
                try:
                    self.service.read_barrier()
                except quorate.InCallback as error:
                    outcomes.append(error)
                self.service.deliver(frame)

    network = Calling()
    network.service = service = start(storage="memory", transport=network)
    service.initialize_cluster("me", timeout=LONG)
    assert outcomes[0] is State.STANDALONE and isinstance(outcomes[1], quorate.InCallback)
    assert service.state is State.LEADER
    network.service = None


def test_a_frame_for_another_node_is_refused(cluster: UnixCluster) -> None:
    cluster.form()
    first, second = cluster.services[:2]
    kept: list[bytes] = []
    cluster.networks[1].incoming = lambda frame: kept.append(frame) or [frame]  # type: ignore[func-returns-value]
    first.propose_wait(b"x", timeout=LONG)
    until(lambda: bool(kept))
    second.deliver(kept[-1])
    with pytest.raises(quorate.InvalidArgument, match="is for node"):
        first.deliver(kept[-1])


BAD_FRAMES: list[tuple[Any, type[Exception]]] = [
    (b"", quorate.InvalidArgument),
    (b"x", quorate.InvalidArgument),
    (b"\0\0", quorate.InvalidArgument),
    (b"\xff\xffshort", quorate.InvalidArgument),
    (b"\2\0\xff\xfe" + bytes(100), quorate.InvalidArgument),
    (bytes(1000), quorate.InvalidArgument),
    (bytes(1 << 27), quorate.TooLarge),
    ("text", TypeError),
    (7, TypeError),
    (None, TypeError),
]


@pytest.mark.parametrize(("frame", "error"), BAD_FRAMES, ids=lambda value: str(type(value)))
def test_what_is_no_frame_is_refused(start: Start, frame: Any, error: type[Exception]) -> None:
    class Nowhere:
        def send(self, node_id: int, address: str, frame: bytes) -> None: ...

    service = start(storage="memory", transport=Nowhere())
    calls: list[Callable[[Any], object]] = [service.deliver, service.append, service.request_vote]
    for call in (*calls, service.join, quorate.frame_kind):
        with pytest.raises(error):
            call(frame)
    assert service.propose_wait(b"x", timeout=LONG).data == b"X"


def test_a_service_with_the_network_of_the_library_takes_no_frames(
    start: Start, cluster: UnixCluster
) -> None:
    kept: list[bytes] = []
    cluster.networks[0].incoming = lambda frame: kept.append(frame) or [frame]  # type: ignore[func-returns-value]
    cluster.form()
    for service in (start(), start(listen=LOCAL)):
        with pytest.raises(quorate.Unsupported, match="built-in network"):
            service.deliver(kept[0])


def test_a_closed_service_takes_no_frames(start: Start) -> None:
    class Nowhere:
        def send(self, node_id: int, address: str, frame: bytes) -> None: ...

    service = start(storage="memory", transport=Nowhere())
    service.close()
    with pytest.raises(quorate.Closed):
        service.deliver(b"late")


def test_a_transport_needs_send(start: Start) -> None:
    with pytest.raises(TypeError, match=r"object, which has no method send\(\)"):
        start(storage="memory", transport=object())
