"""A real training whose checkpoints are analysed while it goes on and deletes them."""

from pathlib import Path

import pytest
from transformers import TrainerCallback

from checkpoints.judging import findings
from integrations import trainings
from rldk.checkpoints import Background


class Submitting(TrainerCallback):
    """Has each save analysed."""

    def __init__(self, background):
        self.background = background

    def on_save(self, args, state, control, **kwargs):
        self.background.submit(Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step)


@pytest.mark.training
@pytest.mark.parametrize("kept", [1, 3])
def test_saves_at_every_step_under_a_limit_are_let_be(trained, tmp_path, kept, caplog):
    found = []
    background = Background(found.append, trained.model)
    saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 12, "save_total_limit": kept}
    trainer = trainings.grpo(trained.model, tmp_path, [Submitting(background)], **saving)
    trainer.train()
    assert background.close(60) is None
    steps = [one.step for one in found]
    assert sorted(steps + background.skipped) == list(range(1, 13))
    last = found[-1]
    assert (last.step, last.gone, last.resumable) == (12, None, True)
    assert last.compared is None or last.compared.step < 12
    loud = [
        one for one in findings(*found, options=trainer.args.to_dict()).values() if one.severity != "info"
    ]
    assert loud == []
    assert not [record for record in caplog.records if record.name == "rldk"]
