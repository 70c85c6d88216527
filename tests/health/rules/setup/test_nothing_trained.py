"""SET013 nothing-trained: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rows import diagnosed
from health.rules.setup.common import ADAPTER, WHOLE, begun

RULE = "nothing-trained"
FROZEN = {"trainable": 0, "optimized": 0}


@pytest.mark.parametrize(
    ("start", "words", "remedy"),
    [
        (WHOLE | FROZEN, "none of the 500,000,000 parameters of the model requires", "requires_grad"),
        (ADAPTER | FROZEN, "none of the 500,000,000 parameters of the model requires", "is_trainable=True"),
        (WHOLE | FROZEN | {"optimized": None}, "none of the 500,000,000 parameters", "requires_grad"),
        (ADAPTER | {"optimized": 0}, "the optimizer (AdamW) holds none of the 2,000,000", "get_peft_model"),
        (WHOLE | {"optimized": 0}, "the optimizer (AdamW) holds none of the 500,000,000", "optimizers="),
    ],
    ids=str,
)
@pytest.mark.parametrize("algorithm", ["grpo", "sft", "dpo", "reward", "trainer"])
def test_no_trained_parameter_is_critical(start, words, remedy, algorithm):
    finding = begun(algorithm, start=start)[RULE]
    assert (finding.severity, finding.onset_step) == ("critical", 0)
    assert words in finding.message
    assert remedy in finding.remedies[0]


@pytest.mark.parametrize(
    "start",
    [WHOLE, ADAPTER, WHOLE | {"optimized": 1}, WHOLE | {"optimized": None}, ADAPTER | {"optimized": None}],
)
def test_a_trained_parameter_is_enough(start):
    assert RULE not in begun(start=start)


@pytest.mark.parametrize("start", [None, {"optimizer": "AdamW", "learning_rate": 1e-5}])
def test_what_could_not_be_counted_is_not_checked(start):
    assert begun(start=start) == {}
    one = next(one for one in diagnosed([], "sft").not_checked if one.rule == RULE)
    assert "DeepSpeed" in one.how
