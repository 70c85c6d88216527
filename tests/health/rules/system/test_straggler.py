"""SYS009 straggler: runs on which it must speak, and runs on which it must be silent."""

import random

import pytest

from rldk.health import Monitor, Observation, RunContext
from rldk.health.rules.system.straggler import Straggler


def judged(steps, ranks, options=None, **measures):
    """The finding on steps whose times by rank are `measures[name](step, rank)`."""
    monitor = Monitor(RunContext(algorithm="grpo", options=options or {}), [Straggler])
    for step in range(1, steps + 1):
        values = {f"{name}/{rank}": of(step, rank) for name, of in measures.items() for rank in range(ranks)}
        monitor.observe(Observation(step=step, kind="rank", values=values))
    return next(iter(monitor.incidents.values()), None)


def noisy(level, spread=0.1, seed=0):
    rng = random.Random(seed)
    return lambda step, rank: level * rng.lognormvariate(0, spread)


@pytest.mark.parametrize("ranks", [2, 8])
def test_a_rank_whose_reward_functions_are_slow(ranks):
    def reward(step, rank):
        return 0.9 if rank == 1 and step > 10 else 0.1

    found = judged(60, ranks, seconds=noisy(1.5, 0.02), reward_seconds=reward)
    assert "rank 1 takes" in found.verdict.message
    assert "in its reward functions" in found.verdict.message
    assert found.verdict.evidence["rank"] == 1
    assert 1 <= found.onset_step <= 20


def test_a_rank_that_computes_for_longer():
    def cpu(step, rank):
        return 1.4 if rank == 3 else 0.9

    assert judged(40, 4, seconds=noisy(1.5, 0.02), cpu_seconds=cpu).verdict.evidence["rank"] == 3


def test_of_two_ranks_the_one_that_asks_a_server_is_no_reason_to_blame_the_other():
    def cpu(step, rank):
        return 1.5 if rank else 0.7  # rank 1 waits in NCCL, which keeps a core busy

    assert judged(40, 2, seconds=noisy(1.5, 0.02), cpu_seconds=cpu) is None
    assert judged(40, 2, {"use_cpu": True}, seconds=noisy(1.5, 0.02), cpu_seconds=cpu) is not None


def test_a_rank_whose_steps_are_longer():
    assert judged(40, 4, seconds=lambda step, rank: 1.5 if rank == 2 else 1.0).verdict.evidence["rank"] == 2


@pytest.mark.parametrize("seed", range(20))
def test_ranks_that_differ_from_step_to_step_are_alike(seed):
    measures = {
        "seconds": noisy(1.0, 0.3, seed),
        "cpu_seconds": noisy(0.8, 0.4, seed),
        "reward_seconds": noisy(0.3, 0.8),
    }
    assert judged(200, 8, **measures) is None


def test_one_long_step_is_no_straggler():
    assert judged(60, 4, seconds=lambda step, rank: 60.0 if (step, rank) == (30, 1) else 1.0) is None


def test_steps_of_milliseconds_say_nothing():
    assert judged(60, 4, seconds=lambda step, rank: 0.08 if rank == 2 else 0.04) is None


def test_a_difference_that_costs_nothing_is_none():
    def reward(step, rank):
        return 0.05 if rank == 1 else 0.01

    assert judged(60, 4, seconds=noisy(1.5, 0.02), reward_seconds=reward) is None


def test_one_rank_alone_is_compared_with_nobody():
    assert judged(60, 1, seconds=noisy(1.0)) is None


def test_what_not_every_rank_recorded_is_not_compared():
    def values(step):
        return {"seconds/0": 1.0, "seconds/1": 1.0} | ({"cpu_seconds/0": 0.9} if step % 2 else {})

    monitor = Monitor(RunContext(), [Straggler])
    for step in range(1, 60):
        monitor.observe(Observation(step=step, kind="rank", values=values(step)))
    assert not monitor.incidents
