"""Notices of ranks that may never come."""

from types import SimpleNamespace

from rldk.recording.rank_notices import LONGEST_PAUSE, Notice


class Store:
    """Counts how often it is asked."""

    def __init__(self):
        self.asked = []
        self.text = None

    def read(self, what, rank):
        self.asked.append((what, rank))
        return self.text


def test_a_notice_that_does_not_come_is_asked_for_less_and_less_often():
    store, clock = Store(), SimpleNamespace(now=0.0)
    notice = Notice(store, "run_id", 0, clock=lambda: clock.now)
    pauses, last = [], 0.0
    for _ in range(100_000):  # steps of 10 ms
        before = len(store.asked)
        assert notice.read() is None
        if len(store.asked) > before:
            pauses.append(clock.now - last)
            last = clock.now
        clock.now += 0.01
    assert store.asked == [("run_id", 0)] * len(pauses)
    assert len(pauses) < 30
    assert max(pauses) <= LONGEST_PAUSE + 0.02
    assert pauses[1:10] == sorted(pauses[1:10])


def test_a_notice_is_asked_for_at_once_where_it_is_the_last_time():
    store = Store()
    notice = Notice(store, "run_id", 0)
    assert notice.read() is None
    store.text = "r"
    assert notice.read(at_once=True) == "r"
