"""What the callbacks of transformers make of a trainer's keys, undone."""

import pytest

from rldk.runs.adapters.trainer_keys import trainer_key


@pytest.mark.parametrize(
    ("tag", "key", "phase"),
    [
        ("train/loss", "loss", "train"),
        ("train/train_runtime", "train_runtime", "summary"),
        ("eval/rewards/f/mean", "eval_rewards/f/mean", "eval"),
        ("test/loss", "test_loss", "eval"),
        ("train/epoch", "epoch", None),
        ("lr", "lr", "train"),
    ],
)
def test_the_keys_of_transformers_callback(tag, key, phase):
    assert trainer_key(tag) == (key, phase)
