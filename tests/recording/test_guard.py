"""Nothing that a hook raises reaches the training."""

import pytest

from rldk.recording.guard import Guard, guarded


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError


class Callback:
    def __init__(self):
        self.guard = Guard()
        self.calls = []

    @guarded
    def on_log(self, error=None, *, other=None):
        """Record."""
        self.calls.append((error, other))
        if error is not None:
            raise error
        return "no value gets out"

    @guarded
    def on_save(self, error):
        raise error


def messages(caplog):
    return [record.getMessage() for record in caplog.records]


def test_a_hook_that_works_gets_its_arguments_and_returns_nothing(caplog):
    callback = Callback()
    assert callback.on_log(other=1) is None
    assert callback.calls == [(None, 1)]
    assert (callback.guard.failures, messages(caplog)) == (0, [])
    assert callback.on_log.__name__ == "on_log"
    assert callback.on_log.__doc__ == "Record."


def test_what_a_hook_raises_is_said_in_one_line_with_its_place(caplog):
    callback = Callback()
    callback.on_log(ValueError("first line\nsecond line"))
    (message,) = messages(caplog)
    assert message.startswith("rldk: on_log failed, training goes on: ValueError: first line (")
    assert "test_guard.py:" in message
    assert "second line" not in message


def test_a_failure_is_said_once_and_counted_each_time(caplog):
    callback = Callback()
    for number in range(1000):
        callback.on_log(ValueError(number))
    assert callback.guard.failures == 1000
    assert len(messages(caplog)) == 1


def test_failures_of_other_kinds_and_places_are_said_too(caplog):
    callback = Callback()
    for error in (ValueError, TypeError, MemoryError, RecursionError, AssertionError, StopIteration):
        callback.on_log(error())
        callback.on_save(error())
    assert callback.guard.failures == len(messages(caplog)) == 12


def test_an_endless_variety_of_failures_is_not_said_endlessly(caplog):
    callback = Callback()
    for number in range(300):
        callback.on_log(type(f"Error{number}", (Exception,), {})())
    assert callback.guard.failures == 300
    assert len(messages(caplog)) == 100


def test_an_exception_whose_text_raises_is_said_without_it(caplog):
    Callback().on_log(MuteError())
    assert "MuteError: no message" in messages(caplog)[0]


def test_an_attempt_gives_what_was_made_or_the_default_and_counts_the_failure(caplog):
    guard = Guard()
    assert guard.attempt("looking", lambda: 1, default=2) == 1
    assert guard.failures == 0
    assert guard.attempt("looking", lambda: 1 / 0, default=2) == 2
    assert guard.failures == 1
    assert "looking failed, training goes on: ZeroDivisionError" in messages(caplog)[0]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_users_own_interruption_passes(error):
    callback = Callback()
    with pytest.raises(error):
        callback.on_log(error())
    assert callback.guard.failures == 0
