"""SET005 few-generations: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rows import diagnosed
from health.rules.setup.common import begun


@pytest.mark.parametrize(
    ("rule", "changes"),
    [("few-generations", {"num_generations": 2})],
)
def test_each_rule_speaks_as_information(rule, changes):
    found = begun(**changes)
    assert list(found) == [rule]
    assert (found[rule].severity, found[rule].onset_step) == ("info", 0)
    assert found[rule].remedies


def test_a_foreign_log_says_how_to_enable_them():
    told = {one.rule: one for one in diagnosed([], "grpo").not_checked}
    assert "RLDKCallback" in told["few-generations"].how
