"""Nodes in one process: forming a cluster, forwarding, leaving and coming back."""

import threading

import pytest
import quorate
from conftest import LOCAL, LONG, Cluster, Log, Start, insist, until


def test_a_cluster_of_one_leads_itself(start: Start) -> None:
    service = start(listen=LOCAL)
    before = service.propose_wait(b"before", timeout=LONG)
    service.initialize_cluster(service.address, timeout=LONG)
    assert service.state is quorate.State.LEADER
    assert service.leader_id == service.my_id and service.cluster_id > 0
    assert service.node_config.current == (quorate.Node(service.my_id, service.address),)
    after = service.propose_wait(b"after", timeout=LONG)
    assert after.index > before.index


def test_what_one_node_takes_every_node_applies(cluster: Cluster) -> None:
    for n, service in enumerate(cluster.services):
        assert service.propose_wait(b"from %d" % n, timeout=LONG).data == b"FROM %d" % n
    for service, log in zip(cluster.services, cluster.logs, strict=True):
        service.read_barrier(timeout=LONG)
        assert log.data == [b"from 0", b"from 1", b"from 2"]
    assert len({service.cluster_id for service in cluster.services}) == 1
    assert {service.leader_id for service in cluster.services} == {cluster.leader.my_id}


def test_a_follower_forwards(cluster: Cluster) -> None:
    follower = cluster.follower
    position = follower.propose(b"one", timeout=LONG)
    reply = follower.submit(b"two", timeout=LONG).result(LONG)
    assert reply.index > position.index
    follower.read_barrier(timeout=LONG)
    assert cluster.log_of(follower).data == [b"one", b"two"]


def test_a_node_without_a_leader_refuses_propose(cluster: Cluster) -> None:
    survivor, *others = sorted(cluster.services, key=lambda s: s is cluster.leader)
    for service in others:
        service.close()
    until(lambda: survivor.leader_id == 0)
    with pytest.raises(quorate.NotLeader) as raised:
        survivor.propose(b"x", timeout=LONG)
    assert raised.value.outcome is quorate.Outcome.NOT_DONE
    with pytest.raises(quorate.QuorateError):
        survivor.propose_wait(b"x", timeout=0.2)


def test_the_leader_knows_how_far_the_others_are(cluster: Cluster) -> None:
    index = cluster.leader.propose_wait(b"x", timeout=LONG).index
    ids = {service.my_id for service in cluster.services}

    def all_there() -> bool:
        indices = cluster.leader.raft_status.peer_indices
        return indices is not None and set(indices) == ids and min(indices.values()) >= index

    until(all_there)
    assert cluster.follower.raft_status.peer_indices is None


def test_a_removed_node_is_standalone_and_can_come_back(cluster: Cluster) -> None:
    leader, node = cluster.leader, cluster.follower
    leader.propose_wait(b"one", timeout=LONG)
    leader.remove_node(node.my_id, timeout=LONG)
    until(lambda: node.state is quorate.State.STANDALONE)
    assert node.cluster_id == 0 and node.my_id not in {
        n.node_id for n in leader.node_config.current
    }
    leader.propose_wait(b"two", timeout=LONG)
    leader.add_node(node.address, timeout=LONG)
    assert leader.node_config.get_node(node.my_id) == quorate.Node(node.my_id, node.address)
    node.read_barrier(timeout=LONG)
    assert cluster.log_of(node).data == [b"one", b"two"], "each entry came once"
    assert node.propose_wait(b"three", timeout=LONG).data == b"THREE"


def test_a_node_that_wrote_alone_is_not_taken_back(cluster: Cluster) -> None:
    leader, node = cluster.leader, cluster.follower
    leader.remove_node(node.my_id, timeout=LONG)
    until(lambda: node.state is quorate.State.STANDALONE)
    node.propose_wait(b"own", timeout=LONG)
    with pytest.raises(quorate.HasData):
        leader.add_node(node.address, timeout=LONG)


def test_a_leader_that_removes_itself_hands_over(cluster: Cluster) -> None:
    leader = cluster.leader
    leader.remove_node(leader.my_id, timeout=LONG)
    until(lambda: leader.state is quorate.State.STANDALONE)
    others = [service for service in cluster.services if service is not leader]
    assert insist(others[0], b"on").data == b"ON"
    assert {n.node_id for n in others[0].node_config.current} == {s.my_id for s in others}


def test_changes_of_membership_are_refused_with_a_reason(cluster: Cluster, start: Start) -> None:
    leader = cluster.leader
    with pytest.raises(quorate.AlreadyMember):
        leader.add_node(cluster.follower.address, timeout=LONG)
    with pytest.raises(quorate.AlreadyMember):
        leader.add_node(leader.address, timeout=LONG)
    with pytest.raises(quorate.NotFound):
        leader.remove_node(12345, timeout=LONG)
    with pytest.raises(quorate.Unreachable):
        leader.add_node("127.0.0.1:1", timeout=LONG)
    other = start(listen=LOCAL)
    other.initialize_cluster(other.address, timeout=LONG)
    with pytest.raises(quorate.OtherCluster):
        leader.add_node(other.address, timeout=LONG)
    full = start(listen=LOCAL)
    full.propose_wait(b"own", timeout=LONG)
    with pytest.raises(quorate.HasData):
        leader.add_node(full.address, timeout=LONG)
    alone = start(listen=LOCAL)
    with pytest.raises(quorate.NoCluster):
        alone.add_node(full.address, timeout=LONG)
    with pytest.raises(quorate.MembershipError):
        alone.remove_node(alone.my_id, timeout=LONG)
    assert leader.propose_wait(b"on", timeout=LONG).data == b"ON"


def test_a_killed_leader_is_replaced(cluster: Cluster) -> None:
    leader = cluster.leader
    leader.propose_wait(b"one", timeout=LONG)
    leader.close()
    others = [service for service in cluster.services if service is not leader]
    assert insist(others[0], b"two").data == b"TWO"
    for service in others:
        service.read_barrier(timeout=LONG)
        assert cluster.log_of(service).data == [b"one", b"two"]


def test_threads_write_through_every_node_at_once(cluster: Cluster) -> None:
    def write(service: quorate.Service, thread: int) -> None:
        for n in range(25):
            service.propose_wait(b"%d/%d" % (thread, n), timeout=LONG)

    threads = [
        threading.Thread(target=write, args=(service, 10 * n + k))
        for n, service in enumerate(cluster.services)
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    for service in cluster.services:
        service.read_barrier(timeout=LONG)
    first: Log = cluster.logs[0]
    assert len(first.data) == 12 * 25 == len(set(first.data))
    assert all(log.data == first.data for log in cluster.logs)
    for thread_number in range(4):
        own = [d for d in first.data if d.startswith(b"%d/" % thread_number)]
        assert own == [b"%d/%d" % (thread_number, n) for n in range(25)]
