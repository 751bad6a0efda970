"""What the tests of processes rely on fails when it should: the judge, and the network of our own."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients import judge
from conftest import free_port
from proxy import HELLO, Network, Way

LINES = [  # client, called, returned, verb, key, value
    "0\t10\t20\tput\tx\ta",
    "1\t30\t40\tget\tx\ta",
    "0\t50\t60\tput\tx\tb",
    "1\t70\t80\tget\tx\tb",
    "2\t75\t-\tput\tx\tc",
    "1\t90\t95\tget\tx\tc",
]


@pytest.mark.parametrize(
    "name, line, other",
    [
        ("a write is lost", 3, "1\t70\t80\tget\tx\ta"),
        ("a write is lost and nothing is left", 3, "1\t70\t80\tget\tx\t-"),
        ("a value comes from nowhere", 1, "1\t30\t40\tget\tx\tz"),
        ("a value comes before its write", 1, "1\t30\t40\tget\tx\tb"),
        ("what was seen is gone again", 5, "1\t90\t95\tget\tx\ta"),
    ],
)
def test_a_history_that_no_order_explains_is_refused(name: str, line: int, other: str, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.write_text("\n".join(LINES) + "\n")
    broken.write_text("\n".join([*LINES[:line], other, *LINES[line + 1 :]]) + "\n")
    assert judge(whole)[0]
    is_linearizable, said = judge(broken)
    assert not is_linearizable and "x" in said, f"{name}: {said}"


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network(1)
    network.ids = {7: 0, 8: 1}  # node 0 dials node 1
    yield network
    network.stop()


@pytest.fixture
def dialed(network: Network) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection from node 0 to node 1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = network.front(1, f"127.0.0.1:{listener.getsockname()[1]}", free_port())
        host, port = address.split(":")
        with socket.create_connection((host, int(port))) as near:
            near.sendall(hello(7))
            far, _ = listener.accept()
            with far:
                far.settimeout(60)
                near.settimeout(60)
                assert receive(far, HELLO) == hello(7)
                yield near, far


def hello(node: int) -> bytes:
    return bytes(32) + node.to_bytes(8, "little") + bytes(HELLO - 40)


def receive(end: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = end.recv(count - len(data))
        assert piece, "it was closed"
        data += piece
    return data


def is_silent(end: socket.socket) -> bool:
    end.settimeout(0.3)
    try:
        return not end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(60)


def test_a_way_that_is_cut_holds_what_the_other_one_lets_pass(
    network: Network, dialed: tuple[socket.socket, socket.socket]
) -> None:
    near, far = dialed
    network.cut([0], [1])
    near.sendall(b"there")
    far.sendall(b"back")
    assert receive(near, 4) == b"back"
    assert is_silent(far)
    network.mend()
    assert receive(far, 5) == b"there"
    assert network.counts["held"] == 1


def test_a_rough_way_delays_splits_and_damages(
    network: Network, dialed: tuple[socket.socket, socket.socket]
) -> None:
    near, far = dialed

    def roughen(way: Way) -> None:
        way.delay, way.split, way.flip_every = 0.01, True, 1

    network.change([0], [1], roughen)
    near.sendall(bytes(1000))
    bits = sum(byte.bit_count() for byte in receive(far, 1000))
    assert bits == network.counts["flipped"] > 0
    assert network.counts["split"] == network.counts["delayed"] == bits
