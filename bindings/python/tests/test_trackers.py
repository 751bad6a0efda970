"""Change trackers: counters to wait on, from threads."""

import threading

import pytest
import quorate
from conftest import LONG, until


def waiter(tracker: quorate.ChangeTracker, change: int) -> "tuple[threading.Thread, list[int]]":
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(tracker.wait(change)))
    thread.start()
    return thread, seen


def test_an_update_wakes_whoever_waits_for_it_or_less() -> None:
    tracker = quorate.ChangeTracker()
    low, low_seen = waiter(tracker, 1)
    high, high_seen = waiter(tracker, 3)
    tracker.update(2)
    low.join(LONG)
    assert low_seen == [2] and high.is_alive()
    tracker.update(5)
    high.join(LONG)
    assert high_seen == [5]


def test_what_is_there_already_is_not_waited_for() -> None:
    tracker = quorate.ChangeTracker()
    assert tracker.wait(0) == 0
    tracker.update(7)
    assert tracker.wait(3) == 7
    assert tracker.timed_wait(7, 0) == 7


def test_a_timed_wait_gives_the_value_as_it_is() -> None:
    tracker = quorate.ChangeTracker()
    tracker.update(2)
    assert tracker.timed_wait(3, 0) == 2
    assert tracker.timed_wait(3, 0.02) == 2
    assert tracker.timed_wait(3, -1) == 2


def test_closing_releases_all() -> None:
    tracker = quorate.ChangeTracker()
    tracker.update(1)
    thread, seen = waiter(tracker, 2)
    tracker.close()
    thread.join(LONG)
    assert seen == [1]
    assert tracker.wait(99) == 1
    tracker.update(5)
    assert tracker.wait(0) == 1


def test_one_name_is_one_tracker() -> None:
    tracker = quorate.ChangeTracker.named("test_one_name")
    thread, seen = waiter(tracker, 4)
    quorate.ChangeTracker.named("test_one_name").update(4)
    thread.join(LONG)
    assert seen == [4]


def test_an_applied_tracker_belongs_to_its_service(service: quorate.Service) -> None:
    tracker = service.applied_tracker
    with pytest.raises(quorate.InvalidArgument):
        tracker.update(9)
    tracker.close()
    index = service.propose_wait(b"x", timeout=LONG).index
    assert tracker.wait(index) == index
    thread, seen = waiter(tracker, index + 1)
    service.close()
    thread.join(LONG)
    assert seen == [index]


def test_many_wait_at_once() -> None:
    tracker = quorate.ChangeTracker()
    waiters = [waiter(tracker, n) for n in range(1, 51)]
    for n in range(1, 51):
        tracker.update(n)
    for thread, seen in waiters:
        thread.join(LONG)
        assert seen and seen[0] <= 50
    until(lambda: all(not thread.is_alive() for thread, _ in waiters))
