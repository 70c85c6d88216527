"""Names of rules, as the labels of several sets use them.

Invariant: needs no trainer, so that the labels can be read where none is installed.
"""

RUNAWAY = frozenset({"kl-blowup", "reward-collapse", "entropy-collapse", "entropy-explosion"})
"""What a policy that steps too far does: each is a right name for it, the learning rate its first cause."""

AFTERMATH = frozenset(
    {"truncation", "length-runaway", "length-collapse", "zero-advantage", "zero-gradient", "gradient-spike"}
)
"""Where such a policy ends: it writes to the limit or nothing, the same for every prompt."""


def rules(*names: str) -> frozenset[str]:
    """Names of rules."""
    return frozenset(names)
