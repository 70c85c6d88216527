"""SET016 shared-reference: the reference model shares trained parameters with the policy.

Invariant: only a reference that the loss uses is reported, and only for parameters that are trained.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Severity, Verdict
from rldk.health.rules.setup.common import START, SetupRule

__all__ = ["SharedReference"]


class SharedReference(SetupRule):
    """The reference model shares trained parameters with the policy, so that it moves with it.

    ## What it looks for
    Parameters of the policy that require a gradient and lie in the memory of the reference model too.

    ## Why it matters
    The loss compares the policy with the reference. A reference that is trained along stays equal to the
    policy: implicit rewards and KL stay 0, and nothing holds the policy back.

    ## How it decides
    The callback compares the parameters of both once, when the training begins. All that are trained are
    shared: critical; some: warning. It is silent where the loss does not use the reference: `beta` is 0,
    `reference_free`, or `precompute_ref_log_probs`, which scores the pairs before the first step. Without a
    reference model (`ref_model=None` with PEFT: the reference is the model without its adapter) there is
    nothing to compare.

    ## What looks alike but is healthy
    Frozen layers that both share, as TRL's `create_reference_model(num_shared_layers=...)` makes them.

    ## What to do
    Pass no reference model: the trainer then makes one. PEFT changes the model in place, so the object that
    `get_peft_model` was given holds the adapter too, and is no reference.

    ## Sources
    trl#1311, trl#1193; TRL refuses only the very same object.
    """

    code, name, severity = "SET016", "shared-reference", Severity.CRITICAL
    algorithms = frozenset({"dpo", "kto", "bco", "grpo", "rloo", "ppo", "online_dpo", "nash_md", "xpo"})

    def checkable(self) -> str | None:
        return START if self.context.start.trainable is None else None

    def inspect(self) -> Verdict | None:
        start, option = self.context.start, self.context.option
        shared, trained = start.in_reference, start.trainable
        if not shared or not trained or self.context.number("beta") == 0:
            return None
        if option("precompute_ref_log_probs") is True or option("reference_free") is True:
            return None
        is_whole = shared >= trained
        amount = f"all {trained:,}" if is_whole else f"{shared:,} of the {trained:,}"
        return Verdict(
            severity=Severity.CRITICAL if is_whole else Severity.WARNING,
            message=f"the reference model shares {amount} trained parameters with the policy: it changes at "
            "each step as the policy does",
            evidence={"shared": shared, "trainable": trained},
            confidence=0.95,
        )

    def causes(self) -> list[Cause]:
        has_adapter = self.context.start.adapter is not None
        return [
            Cause(
                "the reference is the object to which the adapter was added, and PEFT adds it in place",
                (Remedy('pass "ref_model=None": the reference is then the model without its adapter'),),
                0.9 if has_adapter else 0.0,
            ),
            Cause(
                "the reference was made of the policy without a copy",
                (
                    Remedy('pass "ref_model=None": the trainer then makes the reference'),
                    Remedy('load the reference by "from_pretrained", or copy it by "copy.deepcopy"'),
                ),
                0.8,
            ),
        ]
