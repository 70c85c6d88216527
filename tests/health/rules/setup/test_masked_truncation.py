"""SET009 masked-truncation: runs on which it must speak, and runs on which it must be silent."""

from health.rows import finding, trains
from health.rules.setup.common import GRPO


def test_masked_truncation_needs_both():
    rows = trains(truncated_frac=[0.9] * 6, reward_mean=[0.5] * 6)
    masked = {"mask_truncated_completions": True}
    assert finding(rows, "masked-truncation", "grpo", options=GRPO | masked).severity == "warning"
    assert finding(rows, "masked-truncation", "grpo", options=GRPO) is None
    few = trains(truncated_frac=[0.2] * 6, reward_mean=[0.5] * 6)
    assert finding(few, "masked-truncation", "grpo", options=GRPO | masked) is None
