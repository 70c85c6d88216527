"""SET006 low-lora-rate: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rules.setup.common import begun


@pytest.mark.parametrize(
    ("rule", "changes"),
    [("low-lora-rate", {"model_class": "PeftModelForCausalLM"})],
)
def test_each_rule_speaks_as_information(rule, changes):
    found = begun(**changes)
    assert list(found) == [rule]
    assert (found[rule].severity, found[rule].onset_step) == ("info", 0)
    assert found[rule].remedies
