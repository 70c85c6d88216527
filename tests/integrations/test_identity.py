"""A training with rldk is the training without it, bit for bit."""

import random

import numpy as np
import pytest
import torch

import tiny
from integrations import trainings
from integrations.witness import Witness
from rldk.integrations.trl import observe_rewards
from rldk.recording.resources import ResourceSampler

pytestmark = [pytest.mark.training, pytest.mark.compat]

PACE = ResourceSampler.__init__.__kwdefaults__ | {"interval": 0.005}
TIMES = ("time", "runtime", "per_second")


def trained(kind, model, folder, callbacks, wrap=list):
    """What the trainer logged, the final weights, and the random states behind the last step.

    It saves and evaluates, and `wrap` may wrap its reward functions.
    """
    witness = Witness()
    changes = {"eval_strategy": "steps", "eval_steps": 2, "max_steps": 5}
    if kind in ("grpo", "rloo"):
        changes = {"beta": 0.1, "num_iterations": 2, "temperature": 2.0, "max_steps": 5}
        changes["rewards"] = wrap([tiny.letter_reward, tiny.length_reward])
    changes |= {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 1}
    trainer = getattr(trainings, kind)(model, folder, [witness, *callbacks], **changes)
    trainer.train()
    logs = [
        {key: repr(value) for key, value in one.logs.items() if not key.endswith(TIMES)}
        for one in witness.seen
    ]
    numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002 - the one that trainers seed
    states = (random.getstate(), numpy_state, torch.get_rng_state().tolist())
    return logs, trainer.model.state_dict(), states


@pytest.mark.parametrize("kind", ["grpo", "rloo", "dpo", "sft"])
def test_losses_weights_and_random_states_are_bit_identical(kind, model, tmp_path, monkeypatch):
    """With everything on, and at a pace at which the background meets every part of a step."""
    monkeypatch.setattr(ResourceSampler.__init__, "__kwdefaults__", PACE)
    callback = trainings.recorder(tmp_path / "logs", flush_interval=0.01)
    with_logs, with_weights, with_states = trained(
        kind, model, tmp_path / "with", [callback], observe_rewards
    )
    logs, weights, states = trained(kind, model, tmp_path / "without", [])
    assert len(with_logs) >= 6
    assert with_logs == logs
    assert list(with_weights) == list(weights)
    assert all(torch.equal(with_weights[name], weights[name]) for name in weights)
    assert with_states == states
    files = callback.files
    assert files.events.exists()
    trainings.settle()
    assert files.checkpoints.exists()
    assert files.resources().exists()
    assert files.samples.exists() is (kind in ("grpo", "rloo"))
    other, _, _ = trained(kind, model, tmp_path / "other", [])
    assert other == logs  # so that a difference above is rldk's
