"""SET012 rows-cut: no log holds the data, so it is listed as not checked and never speaks."""

from dataclasses import fields

import pytest
from trl import SFTConfig

from health.rows import diagnosed, trains
from rldk.health.rules.setup.rows_cut import RowsCut

RULE = "rows-cut"
TUNED = trains(loss=[2.0 - 0.02 * i for i in range(40)])


def not_checked(algorithm, **context):
    return {one.rule: one for one in diagnosed(TUNED, algorithm, **context).not_checked}


@pytest.mark.parametrize("algorithm", ["sft", "gkd", None])
def test_supervised_fine_tuning_is_told_to_count_its_long_rows(algorithm):
    one = not_checked(algorithm)[RULE]
    assert (one.code, one.needs) == ("SET012", [])
    assert "longer than max_length" in one.how


@pytest.mark.parametrize("algorithm", ["grpo", "dpo", "ppo"])
def test_an_algorithm_that_cuts_no_rows_does_not_list_it(algorithm):
    assert RULE not in not_checked(algorithm)


@pytest.mark.parametrize("limit", [None, 16, 64, 1024])
def test_a_limit_alone_is_no_finding(limit):
    assert diagnosed(TUNED, "sft", options={"max_length": limit}).findings == []


def test_its_page_names_the_default_of_trl():
    default = next(field.default for field in fields(SFTConfig) if field.name == "max_length")
    assert f"`max_length`, whose default is {default:,}" in RowsCut.page()
