"""Plain values: texts, enumerations, nodes, settings, exceptions."""

import copy
import pickle
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import pytest
import quorate
from conftest import Log
from quorate import Node, NodeList, _errors, _quorate


def test_every_error_of_the_engine_has_a_class_of_its_own() -> None:
    known = _quorate.error_kinds()
    assert {status for status, _, _ in known} == set(_errors.BY_STATUS)
    assert len(set(_errors.BY_STATUS.values())) == len(known)
    for status, word, outcome in known:
        error = _errors.from_engine(status, word, None)
        assert type(error) is _errors.BY_STATUS[status]
        assert getattr(quorate, type(error).__name__) is type(error), "it is in the package"
        assert (error.status, int(error.outcome), str(error)) == (status, outcome, word)


@pytest.mark.parametrize(
    ("first", "last", "base"),
    [
        (-29, -20, quorate.MembershipError),
        (-39, -30, quorate.StartError),
        (-1999, -1000, quorate.OutcomeUnknown),
        (-2999, -2000, quorate.ServiceFailed),
    ],
)
def test_families_follow_the_numbers(first: int, last: int, base: type) -> None:
    for status, error in _errors.BY_STATUS.items():
        assert issubclass(error, base) == (first <= status <= last), error


def test_a_status_that_is_newer_has_a_class_and_an_outcome() -> None:
    for status, base, outcome in [
        (-900, "QuorateError", 1),
        (-1900, "OutcomeUnknown", 2),
        (-2900, "ServiceFailed", 3),
    ]:
        error = _errors.from_engine(status, "news", None)
        assert type(error).__name__ == base
        assert (error.status, int(error.outcome)) == (status, outcome)


def test_errors_are_what_python_calls_them_too() -> None:
    for error, base in [
        (quorate.InvalidArgument, ValueError),
        (quorate.TooLarge, ValueError),
        (quorate.InCallback, RuntimeError),
        (quorate.Closed, RuntimeError),
        (quorate.NotFound, LookupError),
        (quorate.AddressInUse, OSError),
        (quorate.TimedOut, TimeoutError),
    ]:
        assert issubclass(error, base) and issubclass(error, quorate.QuorateError)
    assert issubclass(quorate.Forked, quorate.Closed)


def test_not_leader_names_the_leader() -> None:
    error = _errors.from_engine(-10, "no", (5, "h:1"))
    assert isinstance(error, quorate.NotLeader)
    assert error.leader == Node(5, "h:1")
    alone = _errors.from_engine(-10, "no", None)
    assert isinstance(alone, quorate.NotLeader) and alone.leader is None


def family(error: type[quorate.QuorateError]) -> set[type]:
    return {error}.union(*(family(below) for below in error.__subclasses__()))


def errors_of_each_class() -> list[Any]:
    known = [_errors.from_engine(status, "why", None) for status in _errors.BY_STATUS]
    newer = [_errors.from_engine(status, "news", None) for status in (-900, -1900, -2900)]
    report = quorate.Report(1, ("skipped",), ("broken",), "text")
    families = [quorate.MembershipError("why"), quorate.StartError("why")]
    return [*known, *newer, *families, quorate.StorageRuleBroken(report)]


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_errors_can_be_pickled_and_copied(again: Callable[[Any], Any]) -> None:
    errors = errors_of_each_class()
    assert {type(error) for error in errors} == family(quorate.QuorateError)
    for error in errors:
        error.add_note("note")
        other = again(error)
        assert (type(other), other.args, vars(other)) == (type(error), error.args, vars(error))
        assert (str(other), other.status) == (str(error), error.status)


def test_enumerations_have_the_words_of_the_page() -> None:
    def words(enumeration: type[IntEnum]) -> str:
        return " ".join(str(member) for member in enumeration)

    assert words(quorate.State) == "Follower Candidate Leader Standalone Stopping Stopped Failed"
    modes = "Stable ProposedJointConsensus ProposedFinalConsensus"
    assert words(quorate.MembershipChangeMode) == modes
    assert words(quorate.LoopCommand) == "UpdateConfiguration JoinAsFollower JoinAsCandidate"
    assert f"{quorate.State.LEADER}" == "Leader"
    assert int(quorate.State.LEADER) == 2


def test_ids_are_written_in_base_36() -> None:
    assert quorate.format_node_id(36) == "10"
    assert quorate.parse_node_id("Z") == 35
    assert quorate.parse_node_id("not an id") == 0
    assert quorate.parse_node_id(quorate.format_node_id(2**63 - 1)) == 2**63 - 1


def test_node_lists_look_in_current_first() -> None:
    a, b, c, moved = Node(1, "a"), Node(2, "b"), Node(3, "c"), Node(1, "moved")
    nodes = NodeList((b, a), (moved, c), (Node(4, "d"),))
    assert nodes.get_node(1) == a and nodes.get_node(3) == c
    assert nodes.get_node(4) == Node(4, "d") and nodes.get_node(5) is None
    assert nodes.get_unique_nodes() == (b, a, c)
    assert str(nodes) == "NodeList{Current:b, a, Next:moved, c}"
    assert str(NodeList((a,))) == "NodeList{Current:a}"
    assert str(Node(36, "h:1")) == "Node{10: h:1}"
    assert nodes == NodeList((b, a), (moved, c), (Node(4, "d"),)) != NodeList((b, a))
    assert len({nodes, copy.copy(nodes)}) == 1


def test_positions_and_replies_are_values() -> None:
    assert quorate.Position(1, 2) == quorate.Position(1, 2) != quorate.Position(2, 1)
    assert quorate.Reply(1, 2, b"x") == quorate.Reply(1, 2, b"x") != quorate.Reply(1, 2, b"y")
    assert len({quorate.Position(1, 2), quorate.Position(1, 2)}) == 1
    assert len({quorate.Reply(1, 2, b"x"), quorate.Reply(1, 2, b"x")}) == 1
    assert quorate.Position(1, 2) != (1, 2)
    match quorate.Reply(1, 2, b"x"):
        case quorate.Reply(index, term, data):
            assert (index, term, data) == (1, 2, b"x")
    assert repr(quorate.Reply(1, 2, b"x")) == "Reply(index=1, term=2, data=b'x')"
    with pytest.raises(AttributeError):
        quorate.Position(1, 2).index = 3  # type: ignore[misc]


def test_every_setting_is_in_the_stub() -> None:
    known = {setting.key for setting in quorate.settings()}
    own = {"data_dir", "listen", "storage"}
    assert known == set(quorate.Settings.__annotations__) | own
    assert all(setting.meaning and setting.unit for setting in quorate.settings())


def test_an_unknown_setting_names_the_nearest(tmp_path: object) -> None:
    with pytest.raises(quorate.NotFound, match="election_timeout"):
        quorate.Service.start(Log(), storage="memory", electoin_timeout=1)  # type: ignore[call-arg]


def test_a_malformed_setting_is_named() -> None:
    for settings in (
        {"pre_vote": 7},
        {"election_timeout": "soon"},
        {"election_timeout": 0.0001},
        {"max_entry_bytes": -1},
        {"profile": "wan"},
        {"storage": "paper"},
    ):
        [key] = settings
        with pytest.raises(quorate.InvalidArgument, match=key):
            quorate.Service.start(Log(), **{"storage": "memory", **settings})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="pre_vote"):
        quorate.Service.start(Log(), storage="memory", pre_vote=[1])  # type: ignore[arg-type]


def test_settings_are_taken_as_numbers_switches_and_texts() -> None:
    with quorate.Service.start(
        Log(),
        storage="memory",
        heartbeat_timeout=0.05,
        election_timeout=1,
        node_proposal_timeout="2s",  # type: ignore[arg-type]
        pre_vote=False,
        check_quorum=True,
        max_entry_bytes="1MiB",  # type: ignore[arg-type]
        max_queued_entries=100,
        profile=None,  # type: ignore[arg-type]
    ) as service:
        assert service.state is quorate.State.STANDALONE


def test_durations_are_seconds_in_whole_milliseconds() -> None:
    """Times 1000, many a number of them is not whole: 1.023 is 1022.9999999999999."""
    with quorate.Service.start(
        Log(),
        storage="memory",
        heartbeat_timeout=0.05,
        election_timeout=1.023,
        node_proposal_timeout=2.047,
    ) as service:
        assert service.state is quorate.State.STANDALONE
    for seconds, text in ((0.0507, "0.0507s"), (0, "0ms"), (float("nan"), "NaNs")):
        with pytest.raises(quorate.InvalidArgument, match=f'election_timeout="{text}": a duration'):
            quorate.Service.start(Log(), storage="memory", election_timeout=seconds)
