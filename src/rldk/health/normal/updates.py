"""Questions about updates: the loss, the gradient, clipping, the distance to the reference, entropy.

Invariant: no answer where the run does not log the metrics of a question.
"""

from rldk.health.normal.question import DEAD, Reply, RunFacts, does_not_arise, no, question, yes
from rldk.health.reward_state import solved
from rldk.metrics.aliases import KL

__all__ = ["clip", "entropy", "kl_absent", "loss", "negative", "spikes"]

STRIKING = 20
"""Records from which a clip ratio of 0 raises a question."""
SPIKE = 5
"""Multiple of the usual gradient norm from which people ask about a spike."""


@question("loss-near-zero", "Is a loss near 0 normal?", ("loss",), source="trl#3452, trl#2703, open-r1#239")
def loss(facts: RunFacts) -> Reply | None:
    """A loss near 0."""
    loss, gradient = facts.loss, facts.gradient
    if not (facts.grouped and loss.count and facts.reward.count):
        return None
    level = abs(loss.median())
    if level >= 0.1:
        return None  # the loss is not near 0
    near = level < 0.01
    near_zero = f"the loss is {level:.2g} ({facts.latest(loss)})"
    if gradient.count and gradient.median() < DEAD:
        return no(
            near,
            f"{near_zero}, and the gradient norm is {gradient.median():.2g}: nothing is learned. "
            "Look at frac_reward_zero_std and at the learning rate.",
        )
    if facts.spread.count and facts.spread.median(20) < DEAD:
        return no(
            near,
            f"{near_zero}, and all completions score alike ({facts.learned}): every advantage is 0, and a "
            "gradient comes only from other terms, such as the KL.",
        )
    alive = f", while the gradient norm is {gradient.median():.2g}" if gradient.count else ""
    return yes(
        near,
        f"{near_zero}{alive}. Advantages are centred within each group, so with one update a batch their "
        "loss is 0 plus beta times the KL, whatever is learned. Watch the reward instead: "
        f"{facts.learned}.",
    )


@question(
    "clip-ratio-zero",
    "Is a clip ratio of 0 normal?",
    ("clip_frac", "clip_frac_low_mean", "clip_frac_high_mean", "clip_two_sided_frac"),
    source="trl#3120",
)
def clip(facts: RunFacts) -> Reply | None:
    """A clip ratio of 0."""
    clip, context = facts.clip, facts.context
    if not clip.count:
        return None
    if clip.high > 0:
        return does_not_arise(
            f"the share of clipped tokens is {clip.ema10:.2g} and has been at most {clip.high:.2g}. "
            "Up to some 0.2, clipping does its work at the edges; above, updates leave the trust region.",
        )
    if not context.options:
        if facts.reuses:
            return None
        return yes(
            clip.count >= STRIKING,
            f"it is 0 in {facts.every(clip)}. With one update a batch, the default, the trained policy is "
            "the generating policy, the ratio is exactly 1, and there is nothing to clip.",
        )
    epochs = context.number("num_iterations") or 1
    reuse = context.number("steps_per_generation") or 1
    if epochs > 1 or reuse > (context.number("gradient_accumulation_steps") or 1):
        return no(
            True,
            "each batch is used for several updates here, so a ratio may leave 1, and yet nothing was "
            f"clipped in {clip.count:,} records: the updates hardly move the policy. Look at the learning "
            "rate and at grad_norm.",
        )
    return yes(
        True,
        f"it is 0 in {facts.every(clip)} because each batch is used for one update. The trained "
        "policy is then the generating policy, the ratio is exactly 1, and there is nothing to clip.",
    )


@question("kl-absent", "Is it normal that no KL is logged?", ("kl_mean",), source="trl#4040")
def kl_absent(facts: RunFacts) -> Reply | None:
    """No KL in the log."""
    if facts.chart.holds(KL) or not facts.grouped or not facts.reward.count:
        return None  # a KL that is never finite is logged all the same
    beta = facts.context.number("beta")
    if beta:
        return no(
            True,
            f"beta is {beta:g}, so a KL to the reference is part of the loss and should be logged. "
            "Check whether the log is complete.",
        )
    because = "beta is 0 here" if beta == 0 else "beta is probably 0, the default of GRPO in TRL"
    return yes(
        beta == 0,
        f"no record holds a KL, and {because}: no reference model is loaded, so there is no distance to "
        "measure. Entropy and length show how far the policy moved instead.",
    )


@question(
    "negative-kl",
    "Is a negative KL normal?",
    ("kl_mean", "kl_sequence_mean"),
    source="trl#925, trl#1857",
)
def negative(facts: RunFacts) -> Reply | None:
    """A KL below 0."""
    kl = facts.kl
    if not kl.count:
        return None
    if kl.low >= 0:
        return does_not_arise(f"the KL is not below 0 in {facts.every(kl)} (now {kl.ema10:.2g}).")
    levels = f"the KL was as low as {kl.low:.2g} and its mean is {kl.ema10:.2g}"
    if facts.context.algorithm == "grpo" and kl.low < -1e-6:
        return no(
            True,
            f"{levels}, and the estimator of GRPO (k3) is never negative: this is another quantity, or "
            "the arithmetic overflows.",
        )
    if kl.ema10 > -0.1:
        return yes(
            True,
            f"{levels}. A mean of log-ratios (k1) is a noisy estimate, and for a policy that hardly moved it "
            "is as often below 0 as above.",
        )
    return no(
        True,
        f"{levels}. That is no noise: generation (top_k, top_p, min_p, a suppressed EOS) samples another "
        "distribution than the measured one, and the policy is paid for it.",
    )


@question(
    "entropy-level",
    "Is this level of entropy normal?",
    ("entropy_mean", "entropy_padded_mean"),
    source="DAPO (arXiv 2503.14476), arXiv 2505.22617",
)
def entropy(facts: RunFacts) -> Reply | None:
    """The level of entropy."""
    entropy = facts.entropy
    if entropy.count < 5:
        return None
    before = entropy.start if entropy.baseline is None else entropy.baseline
    share = entropy.ema10 / before if before > 0 else 1.0
    level = (
        f"entropy began at {entropy.start:.2g} nats and is now {entropy.ema10:.2g}, "
        f"{share:.0%} of this run's own baseline"
    )
    if facts.reward.count and not facts.rose() and not solved(facts.reward) and not 0.5 < share < 2:
        return no(
            True,
            f"{level}, and {facts.learned}. Look at the change of this size without a gain; the level itself "
            "says nothing.",
        )
    return yes(
        entropy.ema10 < 0.3 or entropy.ema10 > 3,
        f"{level}. No level is healthy or unhealthy by itself: published runs begin anywhere between 0.1 "
        "and 2.7 nats, and entropy falls as a policy gets surer.",
    )


@question(
    "gradient-spikes",
    "Are spikes of the gradient norm normal?",
    ("grad_norm",),
    source="OLMo 2 (arXiv 2501.00656), trl#281",
)
def spikes(facts: RunFacts) -> Reply | None:
    """Spikes of the gradient norm."""
    gradient = facts.gradient
    if gradient.count < 10:
        return None
    usual, now, largest = gradient.median(), gradient.median(10), max(gradient.recent)
    before = usual if gradient.baseline is None else gradient.baseline
    times = largest / usual if usual > 0 else 0.0
    if now > 3 * max(before, DEAD):
        return no(
            times >= SPIKE,
            f"the gradient norm is {now:.3g}, and it was {before:.3g} early in the run. A rising level is no "
            "spike; it often comes before trouble.",
        )
    if times < SPIKE:
        return does_not_arise(
            f"the largest of the latest gradient norms is {largest:.3g}, {times:.1f} times the usual "
            f"{usual:.3g}."
        )
    return yes(
        True,
        f"the largest of the latest gradient norms is {largest:.3g}, {times:.0f} times the usual "
        f"{usual:.3g}, and the level is {now:.3g}. A single batch does this in most healthy runs, and "
        "clipping (max_grad_norm) bounds what it can do.",
    )
