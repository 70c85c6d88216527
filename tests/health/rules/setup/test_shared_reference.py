"""SET016 shared-reference: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rules.setup.common import ADAPTER, WHOLE, begun

RULE = "shared-reference"


@pytest.mark.parametrize("algorithm", ["dpo", "kto", "grpo", "online_dpo"])
@pytest.mark.parametrize(
    ("start", "severity", "words"),
    [
        (WHOLE | {"in_reference": 500_000_000}, "critical", "shares all 500,000,000 trained parameters"),
        (ADAPTER | {"in_reference": 2_000_000}, "critical", "shares all 2,000,000 trained parameters"),
        (WHOLE | {"in_reference": 1000}, "warning", "shares 1,000 of the 500,000,000 trained parameters"),
    ],
    ids=str,
)
def test_a_reference_that_is_trained_along_is_reported(algorithm, start, severity, words):
    finding = begun(algorithm, start=start, beta=0.1)[RULE]
    assert (finding.severity, finding.onset_step) == (severity, 0)
    assert words in finding.message
    assert "ref_model=None" in finding.remedies[0]


SHARED = WHOLE | {"in_reference": 500_000_000}


@pytest.mark.parametrize(
    ("start", "options"),
    [
        (WHOLE, {}),
        (ADAPTER, {}),
        (WHOLE | {"in_reference": 0}, {}),
        (SHARED, {"beta": 0.0}),
        (SHARED, {"precompute_ref_log_probs": True}),
        (SHARED, {"reference_free": True}),
        (SHARED | {"trainable": 0, "in_reference": 0}, {}),
    ],
    ids=str,
)
def test_a_reference_that_stands_or_is_not_used_is_silent(start, options):
    assert RULE not in begun("dpo", start=start, **({"beta": 0.1} | options))


def test_an_algorithm_without_a_reference_is_not_judged():
    assert RULE not in begun("sft", start=SHARED)
