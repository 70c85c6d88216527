"""A finding as it is recorded."""

import msgspec

from rldk.schema.alert import Finding


def test_the_repr_of_a_finding_is_one_short_line():
    fields = {
        "rule": "kl-blowup",
        "code": "POL001",
        "severity": "warning",
        "confidence": 0.9,
        "onset_step": 3,
        "first_step": 4,
        "last_step": 50,
        "message": "the KL rose\x1b[2J",
        "evidence": {"kl_mean": [0, 7.5]},
        "caused_by": None,
        "causes": ["the learning rate is too high"],
        "remedies": ["lower it"],
        "last_good_step": 2,
        "last_good_checkpoint": None,
        "samples": [{"text": "x" * 300}],
    }
    finding = msgspec.convert(fields, Finding)
    assert repr(finding) == r"<Finding warning kl-blowup since step 3: 'the KL rose\x1b[2J'>"
