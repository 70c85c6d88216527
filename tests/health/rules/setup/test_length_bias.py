"""SET010 length-bias: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rules.setup.common import begun


@pytest.mark.parametrize(
    ("rule", "changes"),
    [("length-bias", {"loss_type": "grpo", "max_completion_length": 4096})],
)
def test_each_rule_speaks_as_information(rule, changes):
    found = begun(**changes)
    assert list(found) == [rule]
    assert (found[rule].severity, found[rule].onset_step) == ("info", 0)
    assert found[rule].remedies
