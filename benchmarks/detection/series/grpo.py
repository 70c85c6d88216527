"""GRPO of a real model with vLLM, as TRL logs it: faults of engine, lengths, rewards and policy."""

import math
from functools import partial

import numpy as np
from bases import Columns, Draw, grpo

from series.row import Series

CAP = (("max_completion_length", 1024),)
LONG = (("max_completion_length", 2048),)
OF_GRPO = {"clean": "sim-grpo-clean", "args": CAP}


def sampling_mismatch(draw: Draw) -> Columns:
    drift = np.exp(draw.ramp(80, 70) * math.log(35))
    base = grpo(draw)
    difference = base["sampling/sampling_logp_difference/mean"] * drift
    harm = 0.28 * draw.ramp(110, 60)
    return base | {
        "sampling/sampling_logp_difference/mean": difference,
        "sampling/sampling_logp_difference/max": base["sampling/sampling_logp_difference/max"]
        + 8 * difference,
        "sampling/importance_sampling_ratio/mean": base["sampling/importance_sampling_ratio/mean"]
        - difference / 3,
        "grad_norm": base["grad_norm"] * (1 + 6 * draw.ramp(100, 70)),
        "reward": base["reward"] - harm,
        "rewards/accuracy/mean": base["rewards/accuracy/mean"] - harm,
    }


def broken_start(draw: Draw) -> Columns:
    base = grpo(draw)
    reward = 0.02 + np.abs(draw.noise("reward", 0.008))
    return base | {
        "sampling/sampling_logp_difference/mean": 0.996 + draw.noise("difference", 0.02),
        "sampling/importance_sampling_ratio/mean": np.clip(0.022 + draw.noise("ratio", 0.004), 0, 1),
        "sampling/importance_sampling_ratio/min": 0 * draw.step,
        "entropy": 6.44 + draw.noise("entropy", 0.05),
        "reward": reward,
        "rewards/accuracy/mean": reward,
        "rewards/format/mean": 0.001 + np.abs(draw.noise("format", 0.0005)),
    }


def importance_starvation(draw: Draw) -> Columns:
    base = grpo(draw)
    growth = 1 + 1.6 * draw.ramp(60, 110)
    return _longer(base, growth) | {
        "sampling/importance_sampling_ratio/mean": np.clip(
            base["sampling/importance_sampling_ratio/mean"] - 0.55 * draw.ramp(60, 80), 0, 2
        ),
        "sampling/importance_sampling_ratio/min": 0 * draw.step,
        "reward": base["reward"],
    }


def stale_rollout(draw: Draw) -> Columns:
    base = grpo(draw)
    flat = 0.33 + draw.noise("reward", 0.03)
    return base | {
        "sampling/sampling_logp_difference/mean": 0.012
        * np.exp(draw.noise("difference", 0.03) + 3.1 * draw.step / draw.count),
        "reward": flat,
        "rewards/accuracy/mean": flat - 0.08,
        "kl": 0.0005 + 0.0005 * np.abs(draw.noise("kl", 0.3)),
    }


def slow_steps(draw: Draw) -> Columns:
    base = grpo(draw)
    return base | {"step_time": base["step_time"] * (1 + 1.6 * draw.ramp(100, 30))}


def eos_mismatch(draw: Draw) -> Columns:
    base = grpo(draw)
    return base | {
        "completions/clipped_ratio": np.clip(0.975 + draw.noise("clipped", 0.008), 0, 1),
        "completions/mean_terminated_length": 40 + draw.noise("terminated", 12),
        "completions/max_length": np.minimum(0.86 * 1024, base["completions/max_length"]),
    }


def dead_component(draw: Draw) -> Columns:
    base = grpo(draw)
    return base | {"rewards/format/mean": 0 * draw.step, "rewards/format/std": 0 * draw.step}


def kl_drift(draw: Draw) -> Columns:
    base = grpo(draw)
    flat = 0.42 + draw.noise("reward", 0.03) - 0.1 * draw.rise(1, 0, 0.1)
    return base | {
        "kl": base["kl"] * np.exp(draw.ramp(60, 200) * math.log(140)),
        "reward": flat,
        "rewards/accuracy/mean": flat - 0.08,
        "entropy": base["entropy"] * (1 + 0.25 * draw.ramp(60, 200)),
    }


def iterated(draw: Draw, clip: float = 0.0) -> Columns:
    """Several updates a batch: the clip fraction is no longer 0."""
    share = np.clip(0.02 + draw.noise("clip", 0.006) + clip * draw.ramp(60, 50), 0, 1)
    return grpo(draw) | {
        "clip_ratio/region_mean": share,
        "clip_ratio/low_mean": 0.4 * share,
        "clip_ratio/high_mean": 0.6 * share,
    }


def gradient_creep(draw: Draw) -> Columns:
    base = grpo(draw)
    fall = 0.2 * draw.ramp(230, 60)
    return base | {
        "grad_norm": base["grad_norm"] * np.exp(draw.ramp(60, 200) * math.log(14)),
        "reward": base["reward"] - fall,
        "rewards/accuracy/mean": base["rewards/accuracy/mean"] - fall,
    }


def entropy_collapse(draw: Draw) -> Columns:
    base = grpo(draw)
    reward = 0.32 + 0.1 * draw.ramp(0, 50) + draw.noise("reward", 0.03)
    return base | {
        "entropy": 0.42 * np.exp(-2.9 * draw.ramp(30, 190)) * np.exp(draw.noise("entropy", 0.04)),
        "frac_reward_zero_std": np.clip(base["frac_reward_zero_std"] + 0.4 * draw.ramp(60, 160), 0, 1),
        "reward": reward,
        "rewards/accuracy/mean": reward - 0.08,
        "reward_std": base["reward_std"] * (1 - 0.3 * draw.ramp(60, 160)),
    }


def entropy_explosion(draw: Draw) -> Columns:
    base = grpo(draw)
    climb = draw.ramp(80, 110)
    reward = base["reward"] - 0.45 * climb**1.5
    return base | {
        "entropy": base["entropy"] + 3.2 * climb**1.6,
        "completions/clipped_ratio": np.clip(base["completions/clipped_ratio"] + 0.5 * climb**2, 0, 1),
        "completions/mean_length": base["completions/mean_length"] * (1 + 0.7 * climb**2),
        "reward": np.maximum(reward, 0.01),
        "rewards/accuracy/mean": np.maximum(reward - 0.08, 0),
    }


def length_runaway(draw: Draw) -> Columns:
    base = grpo(draw)
    flat = 0.45 + draw.noise("reward", 0.03) - 0.1 * draw.rise(1, 0, 0.1)
    clipped = np.clip(base["completions/clipped_ratio"] + 0.12 * draw.ramp(120, 80), 0, 1)
    return _longer(base, np.exp(draw.ramp(50, 130) * math.log(2.4))) | {
        "reward": flat,
        "rewards/accuracy/mean": flat - 0.08,
        "completions/clipped_ratio": clipped,
    }


def length_collapse(draw: Draw) -> Columns:
    base = grpo(draw)
    short = np.exp(-draw.ramp(60, 60) * math.log(110))
    flat = 0.4 + draw.noise("reward", 0.03) - 0.25 * draw.ramp(80, 60)
    return _longer(base, short) | {
        "completions/min_length": np.maximum(1, base["completions/min_length"] * short),
        "reward": flat,
        "rewards/accuracy/mean": np.maximum(flat - 0.08, 0),
    }


def growing_answers(draw: Draw) -> Columns:
    """Longer with more reward, as in R1: healthy."""
    return _longer(grpo(draw), 1 + 1.2 * draw.rise(0, 1, 0.9))


def solved(draw: Draw) -> Columns:
    """The reward reaches its ceiling: entropy and spread go with it."""
    base = grpo(draw)
    reward = np.minimum(1.0, draw.rise(0.55, 1.005, 0.35) - np.abs(draw.noise("reward", 0.006)))
    return base | {
        "reward": reward,
        "rewards/accuracy/mean": reward,
        "rewards/accuracy/std": np.sqrt(np.clip(reward * (1 - reward), 0, 1)),
        "reward_std": np.sqrt(np.clip(reward * (1 - reward), 0, 1)),
        "frac_reward_zero_std": np.clip(reward**8 + draw.noise("frac", 0.02), 0, 1),
        "entropy": 0.42 * draw.rise(1, 0.3, 0.5) + draw.noise("entropy", 0.008),
        "rewards/format/mean": 0.1 + 0 * draw.step,
        "rewards/format/std": 0 * draw.step,
        "grad_norm": base["grad_norm"] * np.sqrt(np.clip(1.02 - reward**8, 0.01, 1)),
    }


def kl_spikes(draw: Draw) -> Columns:
    """Single records of k3 spikes, with nothing behind them."""
    base = grpo(draw)
    spiked = np.where(np.isin(draw.step, (41, 77, 118, 163)), 12.0, 1.0)
    return base | {"kl": base["kl"] * spiked**2, "grad_norm": base["grad_norm"] * spiked**0.6}


def _longer(base: Columns, factor: np.ndarray) -> Columns:
    lengths = ("mean_length", "mean_terminated_length", "max_length", "min_length")
    changed = {f"completions/{name}": base[f"completions/{name}"] * factor for name in lengths}
    changed["completions/max_length"] = np.minimum(2048, changed["completions/max_length"])
    return base | changed | {"step_time": base["step_time"] * factor}


def _stalled(draw: Draw) -> np.ndarray:
    return np.where(draw.step == 121, 5400.0, grpo(draw)["step_time"])


GRPO = [
    Series("sim-grpo-clean", grpo, args=CAP),
    Series("sim-grpo-clean-long", grpo, args=CAP, count=300),
    Series("sim-grpo-clean-iterations", iterated, args=(*CAP, ("num_iterations", 4)), sparse=4, count=240),
    Series(
        "sim-grpo-solved", solved, shows="reward .55 to 1.0, frac_reward_zero_std to .95: solved", args=CAP
    ),
    Series(
        "sim-grpo-growing", growing_answers, shows="length 410 to 850, reward .32 to .61: healthy", args=LONG
    ),
    Series("sim-grpo-kl-spikes", kl_spikes, shows="4 single records of kl at 144 times the level", args=CAP),
    Series(
        "sim-sampling-mismatch",
        sampling_mismatch,
        "the engine's log-probs drift from the trainer's",
        "logp_difference .012 to .42 from step 80 on, grad_norm x7, reward .6 to .33",
        ("sampling-mismatch",),
        ("importance-starvation", "reward-collapse", "gradient-creep", "gradient-spike"),
        onset=80,
        **OF_GRPO,
    ),
    Series(
        "sim-broken-start",
        broken_start,
        "trainer and engine hold different weights",
        "logp_difference .996, entropy 6.44, IS mean .022 from record 1 on, reward .02",
        ("broken-start",),
        ("sampling-mismatch", "importance-starvation", "no-learning", "dead-reward"),
        abrupt=True,
        **OF_GRPO,
    ),
    Series(
        "sim-importance-starvation",
        importance_starvation,
        "sequence-level correction with growing answers",
        "IS mean .995 to .44 from step 60 on, length 410 to 1,100, logp_difference at .012, reward rises",
        ("importance-starvation",),
        clean="sim-grpo-clean",
        args=LONG,
        onset=60,
    ),
    Series(
        "sim-stale-rollout",
        stale_rollout,
        "the engine never gets new weights",
        "logp_difference .012 to .27 without a pause, reward flat at .33",
        ("stale-rollout",),
        ("sampling-mismatch", "importance-starvation", "no-learning"),
        **OF_GRPO,
    ),
    Series(
        "sim-slow-steps",
        slow_steps,
        "steps get slower",
        "step_time x2.6 from step 100 to 130, lengths as they were",
        ("slow-steps",),
        onset=100,
        **OF_GRPO,
    ),
    Series(
        "sim-stall",
        grpo,
        "90 minutes without a step",
        "a gap of 5,400 s before step 121, else 21 s",
        ("stall",),
        ("slow-steps",),
        onset=121,
        abrupt=True,
        seconds=_stalled,
        **OF_GRPO,
    ),
    Series(
        "sim-eos-mismatch",
        eos_mismatch,
        "the trainer knows another EOS than the model",
        "clipped_ratio .975 at a mean length of 430 of 1,024, max below 880",
        ("eos-mismatch",),
        ("truncation",),
        abrupt=True,
        **OF_GRPO,
    ),
    Series(
        "sim-dead-component",
        dead_component,
        "one of two reward functions never pays",
        "format reward exactly 0 with std 0 throughout; accuracy .24 to .53",
        ("dead-reward-component",),
        level="info",
        **OF_GRPO,
    ),
    Series(
        "sim-kl-drift",
        kl_drift,
        "slow flight from the reference",
        "kl .01 to 2.8 between steps 60 and 260, reward flat at .42",
        ("kl-blowup",),
        ("no-learning",),
        clean="sim-grpo-clean-long",
        count=300,
        onset=60,
        args=CAP,
    ),
    Series(
        "sim-off-policy",
        partial(iterated, clip=0.5),
        "updates leave the trust region",
        "clip fraction .02 to .5 between steps 60 and 110",
        ("off-policy",),
        clean="sim-grpo-clean-iterations",
        args=(*CAP, ("num_iterations", 4)),
        sparse=4,
        count=240,
        onset=60,
    ),
    Series(
        "sim-gradient-creep",
        gradient_creep,
        "the gradient norm rises for 200 steps",
        "grad_norm .35 to 4.9 between steps 60 and 260, reward falls from step 230 on, .6 to .4",
        ("gradient-creep",),
        ("gradient-spike", "reward-collapse"),
        clean="sim-grpo-clean-long",
        count=300,
        onset=60,
        args=CAP,
    ),
    Series(
        "sim-entropy-collapse",
        entropy_collapse,
        "entropy falls early, and slowly",
        "entropy .42 to .023 between steps 30 and 220, reward stands at .42 from step 50 on, frac to .65",
        ("entropy-collapse",),
        ("no-learning", "zero-advantage"),
        clean="sim-grpo-clean-long",
        count=300,
        onset=30,
        args=CAP,
    ),
    Series(
        "sim-entropy-explosion",
        entropy_explosion,
        "entropy climbs",
        "entropy .35 to 3.5 between steps 80 and 190, reward .55 to .15, clipped to .5",
        ("entropy-explosion",),
        ("reward-collapse", "truncation", "length-runaway"),
        onset=80,
        **OF_GRPO,
    ),
    Series(
        "sim-length-runaway",
        length_runaway,
        "answers grow with no gain",
        "length 420 to 1,050 between steps 50 and 180, reward flat at .45, clipped to .13",
        ("length-runaway",),
        ("truncation", "no-learning", "slow-steps"),
        clean="sim-grpo-clean",
        args=LONG,
        onset=50,
    ),
    Series(
        "sim-length-collapse",
        length_collapse,
        "answers shrink to almost nothing",
        "length 430 to 4 between steps 60 and 120, reward .4 to .15",
        ("length-collapse",),
        ("reward-collapse",),
        onset=60,
        **OF_GRPO,
    ),
]
