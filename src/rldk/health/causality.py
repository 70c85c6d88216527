"""Which finding explains which: failures that share one cause are one story.

Invariant: the table has no cycle, and a finding is told as the consequence of another only if that one
was found too and did not begin clearly later.
"""

from collections.abc import Mapping, Sequence

__all__ = ["EXPLAINED_BY", "cause_of"]

EXPLAINED_BY: Mapping[str, tuple[str, ...]] = {
    "truncation": (
        "eos-mismatch",
        "sampling-mismatch",
        "kl-blowup",
        "length-runaway",
        "entropy-explosion",
    ),
    "length-runaway": ("entropy-explosion", "sampling-mismatch", "kl-blowup"),
    "length-collapse": ("kl-blowup", "gradient-spike"),
    "entropy-collapse": ("sampling-mismatch", "kl-blowup"),
    "entropy-explosion": ("sampling-mismatch", "broken-start", "kl-blowup"),
    "dead-reward": ("broken-start", "eos-mismatch", "truncation", "length-collapse", "reward-collapse"),
    "zero-advantage": (
        "missing-rewards",
        "duplicate-completions",
        "eos-mismatch",
        "truncation",
        "length-collapse",
        "dead-reward",
        "reward-collapse",
        "entropy-collapse",
    ),
    "zero-gradient": (
        "missing-rewards",
        "labels-masked",
        "zero-learning-rate",
        "frozen-policy",
        "non-finite",
        "eos-mismatch",
        "truncation",
        "length-collapse",
        "dead-reward",
        "reward-collapse",
        "zero-advantage",
    ),
    "no-learning": (
        "broken-start",
        "zero-learning-rate",
        "frozen-policy",
        "stale-rollout",
        "eos-mismatch",
        "truncation",
        "dead-reward",
        "zero-advantage",
        "zero-gradient",
        "importance-starvation",
        "kl-blowup",
        "length-runaway",
        "divergence",
    ),
    "reward-collapse": (
        "reward-function-errors",
        "sampling-mismatch",
        "stale-rollout",
        "broken-start",
        "kl-blowup",
        "gradient-spike",
        "gradient-creep",
        "entropy-explosion",
        "eos-mismatch",
        "length-runaway",
        "truncation",
        "length-collapse",
        "resume-jump",
    ),
    "divergence": ("non-finite", "gradient-spike", "resume-jump"),
    "gradient-spike": ("sampling-mismatch", "kl-blowup"),
    "gradient-creep": ("sampling-mismatch", "stale-rollout"),
    "kl-blowup": ("sampling-mismatch", "stale-rollout", "negative-kl"),
    "importance-starvation": ("sampling-mismatch", "broken-start"),
    "sampling-mismatch": ("broken-start", "stale-rollout"),
    "off-policy": ("sampling-mismatch",),
    "likelihood-displacement": ("divergence",),
    "margin-collapse": ("divergence", "non-finite"),
    "missing-eos": ("eos-never-learned",),
    "missing-rewards": ("reward-function-errors",),
    "non-finite": ("reward-function-errors",),
    "checkpoint-non-finite": ("non-finite",),
    "weights-unchanged": ("zero-learning-rate", "zero-gradient", "lora-dead", "frozen-policy"),
    "lora-dead": ("zero-learning-rate",),
    "frozen-policy": ("zero-learning-rate", "lora-dead"),
    "duplicate-completions": ("entropy-collapse", "kl-blowup"),
    "repetition": ("eos-mismatch", "truncation", "kl-blowup", "entropy-collapse"),
    "slow-steps": ("slow-reward", "straggler"),
}
"""Rule -> rules that explain it, the most fundamental first."""

SLACK = 10
"""Train records by which a cause may seem to begin after its consequence: rules differ in delay."""


def cause_of(rule: str, onset: int, onsets: Mapping[str, int], steps_per_record: float) -> str | None:
    """The found rule that explains `rule`, or None.

    Args:
        rule: the rule's name.
        onset: the step at which it began.
        onsets: the onset of each rule that was found.
        steps_per_record: mean distance of train records, in steps.
    """
    latest = onset + SLACK * max(steps_per_record, 1.0)
    explained_by: Sequence[str] = EXPLAINED_BY.get(rule, ())
    return next((name for name in explained_by if name in onsets and onsets[name] <= latest), None)
