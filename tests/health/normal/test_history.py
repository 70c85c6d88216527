"""A history keeps the values that questions need, and no others."""

from math import nan

from events import event
from rldk.health import Observation
from rldk.health.normal import History


def test_it_keeps_the_watched_metrics_by_phase():
    history = History()
    for one in (
        event(0, "eval", eval_loss=1.0),
        event(1, loss=1.0, other=3.0, epoch=0.1),
        event(2, loss=nan, epoch=0.2),
        event(3, "summary", train_loss=0.5),
    ):
        history.add(Observation.of(one))
    assert history.evaluations == [0]
    assert history.train[0] == (1, {"loss": 1.0, "epoch": 0.1})
    assert (history.of("loss"), history.broken("loss")) == ([1.0], [2])
    assert history.together("epoch", "loss") == [(1, [0.1, 1.0])]
    assert history.closing["train_loss"] == 0.5
