"""The simulated half of the set: series for what a tiny model cannot show, seeded and marked as such.

`python benchmarks/detection/simulated.py` writes them all again to `runs/sim-*`. The keys are those of the
framework that logs them, read by rldk's own dialects, so that a series passes through the same names as a log
would. Each run says in its `run.json`, and in the notes of its first record, that nothing was trained.
"""

import math
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import store
from bases import Columns, Draw, dpo, dpo_evaluation, grpo, ppo, reward_model, sft, verl

from rldk import __version__
from rldk.event import SCHEMA_VERSION, DataSlice, Event, ModelInfo, Phase, Rng
from rldk.files import RunFiles
from rldk.metrics.dialects import Dialect
from rldk.metrics.dialects.trl import TRL, TRL_0
from rldk.metrics.dialects.verl import VERL
from rldk.metrics.values import measure

RUNS = Path(__file__).resolve().parent / "runs"
SEEDS = (1, 2)
NOTE = "simulated: made by benchmarks/detection/simulated.py, no training ran"
DIGITS = 4


@dataclass(frozen=True)
class Series:
    """One fault, and how its series are drawn; without a fault, a clean sibling or what only looks ill."""

    name: str
    make: Callable[[Draw], Columns]
    fault: str = ""
    shows: str = ""
    expected: tuple[str, ...] = ()
    also_true: tuple[str, ...] = ()
    clean: str = ""
    algorithm: str = "grpo"
    dialect: Dialect = TRL
    count: int = 200
    onset: int = 1
    abrupt: bool = False
    level: str = "warning"
    args: tuple[tuple[str, Any], ...] = ()
    """Of the configuration, besides `ARGS`."""
    evaluate: Callable[[Draw], Columns] | None = None
    seconds: Callable[[Draw], np.ndarray] | None = None
    """Of each step; by default what the time metric says, or 2."""
    sparse: int = 1
    """Only every n-th record carries what comes with a generation."""
    end: str | None = "completed"


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


def bad_critic(draw: Draw) -> Columns:
    base = verl(draw)
    worse = draw.ramp(50, 110)
    return base | {
        "critic/vf_explained_var": base["critic/vf_explained_var"] - 5.6 * worse,
        "critic/vf_loss": base["critic/vf_loss"] * np.exp(3 * worse),
        "critic/grad_norm": base["critic/grad_norm"] * np.exp(4.5 * worse),
        "critic/score/mean": base["critic/score/mean"] - 0.15 * draw.ramp(100, 80),
    }


def memory_creep(draw: Draw) -> Columns:
    base = verl(draw)
    leak = 25 * draw.step / draw.count
    return base | {
        "perf/max_memory_allocated_gb": base["perf/max_memory_allocated_gb"] + leak,
        "perf/max_memory_reserved_gb": np.minimum(79.2, base["perf/max_memory_reserved_gb"] + 0.6 * leak),
    }


def verl_mismatch(draw: Draw) -> Columns:
    base = verl(draw)
    drift = np.exp(draw.ramp(80, 70) * math.log(14))
    return base | {
        "training/rollout_probs_diff_mean": base["training/rollout_probs_diff_mean"] * drift,
        "training/rollout_actor_probs_pearson_corr": 1
        - (1 - base["training/rollout_actor_probs_pearson_corr"]) * drift**1.5,
        "critic/score/mean": base["critic/score/mean"] - 0.2 * draw.ramp(120, 60),
    }


def verl_slow(draw: Draw) -> Columns:
    base = verl(draw)
    slower = 1 + 1.6 * draw.ramp(100, 30)
    return base | {
        "timing_s/step": base["timing_s/step"] * slower,
        "timing_s/gen": base["timing_s/gen"] * slower,
    }


def negative_kl(draw: Draw) -> Columns:
    base = ppo(draw)
    kl = base["objective/kl"] - 14 * draw.ramp(20, 90)
    return base | {
        "objective/kl": kl,
        "objective/non_score_reward": -0.05 * kl,
        "objective/scores": base["objective/scores"] - 1.2 * draw.ramp(50, 100),
    }


def missing_eos(draw: Draw) -> Columns:
    return ppo(draw) | {
        "val/num_eos_tokens": 0 * draw.step,
        "objective/scores": -0.6 + draw.noise("scores", 0.12),
        "objective/rlhf_reward": -0.8 + draw.noise("scores", 0.12),
    }


def ppo_critic(draw: Draw) -> Columns:
    base = ppo(draw)
    return base | {
        "loss/value_avg": base["loss/value_avg"] * np.exp(4 * draw.ramp(70, 40)),
        "val/clipfrac_avg": np.clip(base["val/clipfrac_avg"] + 0.7 * draw.ramp(70, 40), 0, 1),
        "objective/scores": base["objective/scores"] - 0.8 * draw.ramp(90, 60),
    }


def ppo_off_policy(draw: Draw) -> Columns:
    base = ppo(draw)
    far = draw.ramp(60, 30)
    return base | {
        "policy/clipfrac_avg": np.clip(base["policy/clipfrac_avg"] + 0.46 * far, 0, 1),
        "policy/approxkl_avg": base["policy/approxkl_avg"] * np.exp(4.2 * far),
        "val/ratio": base["val/ratio"] + 0.22 * far,
        "val/ratio_var": base["val/ratio_var"] * np.exp(5 * far),
    }


def ppo_kl(draw: Draw) -> Columns:
    base = ppo(draw)
    kl = base["objective/kl"] * (1 + 16 * draw.ramp(60, 80) ** 2)
    return base | {
        "objective/kl": kl,
        "objective/non_score_reward": -0.05 * kl,
        "objective/rlhf_reward": base["objective/scores"] - 0.05 * kl,
        "policy/approxkl_avg": base["policy/approxkl_avg"] * (1 + 2 * draw.ramp(60, 80)),
    }


def displacement(draw: Draw) -> Columns:
    return dpo(draw, shift=-9.5 * draw.ramp(30, 160))


def margin_collapse(draw: Draw) -> Columns:
    base = dpo(draw)
    fall = 1 - 0.85 * draw.ramp(110, 30)
    margin = base["rewards/margins"] * fall
    return base | {
        "rewards/margins": margin,
        "rewards/rejected": base["rewards/chosen"] - margin,
        "loss": 0.69 - 0.62 * (1 - np.exp(-margin / 1.9)) + draw.noise("loss", 0.02),
        "rewards/accuracies": np.clip(base["rewards/accuracies"] - 0.2 * draw.ramp(110, 30), 0, 1),
    }


def saturated(draw: Draw) -> Columns:
    base = dpo(draw)
    margin = 6 * draw.rise(0, 1, 0.15) + 3 * draw.step / draw.count + draw.noise("margin", 0.3)
    return base | {
        "loss": np.log1p(np.exp(-np.maximum(margin, 0))) * np.exp(draw.noise("loss", 0.2)),
        "rewards/margins": np.maximum(margin, 0),
        "rewards/chosen": 0.3 * margin,
        "rewards/rejected": -0.7 * margin,
        "rewards/accuracies": np.where(draw.step < 9, base["rewards/accuracies"], 1.0),
        "grad_norm": base["grad_norm"] * np.maximum(0.01, np.exp(-np.maximum(margin, 0))),
        "epoch": draw.step / draw.count,
    }


def overfitting(draw: Draw) -> Columns:
    epoch = np.floor(8 * (draw.step - 1) / draw.count)
    loss = np.maximum(0.02, draw.rise(1.45, 1.0, 0.1) * 0.52**epoch)
    return sft(draw, loss=loss) | {"epoch": 8 * draw.step / draw.count}


def overfitting_evaluation(draw: Draw) -> Columns:
    return {
        "eval_loss": 1.02
        + 0.28 * np.exp(-draw.step / 15)
        + 0.9 * draw.ramp(50, 170)
        + draw.noise("eval", 0.004),
        "eval_mean_token_accuracy": 0.66 - 0.04 * draw.ramp(50, 170) + draw.noise("eval_accuracy", 0.002),
    }


def sft_evaluation(draw: Draw) -> Columns:
    loss = draw.rise(1.42, 1.04, 0.4)
    return {
        "eval_loss": loss + draw.noise("eval", 0.004),
        "eval_mean_token_accuracy": np.exp(-0.42 * loss) + draw.noise("eval_accuracy", 0.002),
    }


def divergence(draw: Draw) -> Columns:
    climb = draw.ramp(110, 50)
    base = sft(draw, loss=draw.rise(1.45, 0.98, 0.4) + 2.4 * climb)
    return base | {"grad_norm": base["grad_norm"] * (1 + 9 * climb)}


def sft_spikes(draw: Draw) -> Columns:
    """Single records of a large gradient, clipped, with nothing behind them."""
    base = sft(draw)
    return base | {"grad_norm": base["grad_norm"] * np.where(np.isin(draw.step, (63, 141)), 9.0, 1.0)}


def _stalled(draw: Draw) -> np.ndarray:
    return np.where(draw.step == 121, 5400.0, grpo(draw)["step_time"])


CAP = (("max_completion_length", 1024),)
LONG = (("max_completion_length", 2048),)
OF_VERL = {"algorithm": "ppo", "dialect": VERL, "clean": "sim-verl-clean"}
OF_PPO = {"algorithm": "ppo", "dialect": TRL_0, "clean": "sim-ppo-clean"}
OF_DPO = {"algorithm": "dpo", "clean": "sim-dpo-clean", "evaluate": dpo_evaluation}
OF_SFT = {"algorithm": "sft", "clean": "sim-sft-clean", "evaluate": sft_evaluation}
OF_GRPO = {"clean": "sim-grpo-clean", "args": CAP}

SERIES = [
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
    Series("sim-verl-clean", verl, algorithm="ppo", dialect=VERL),
    Series("sim-ppo-clean", ppo, algorithm="ppo", dialect=TRL_0),
    Series("sim-dpo-clean", dpo, algorithm="dpo", evaluate=dpo_evaluation),
    Series("sim-sft-clean", sft, algorithm="sft", evaluate=sft_evaluation),
    Series("sim-sft-spikes", sft_spikes, shows="2 single gradients at 9 times the level", algorithm="sft"),
    Series("sim-reward-clean", reward_model, algorithm="reward", count=400),
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
    Series(
        "sim-bad-critic",
        bad_critic,
        "the critic comes apart",
        "explained variance .5 to -4.9, critic gradient 6 to 540 between steps 50 and 160",
        ("bad-critic",),
        ("reward-collapse", "gradient-creep", "gradient-spike"),
        onset=50,
        **OF_VERL,
    ),
    Series(
        "sim-memory-creep",
        memory_creep,
        "a leak of 0.125 GiB a step",
        "allocated 51 to 77, reserved 62 to 79.2 GiB of 80, the run ends out of memory",
        ("memory-creep",),
        ("crash",),
        end="OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        **OF_VERL,
    ),
    Series(
        "sim-verl-mismatch",
        verl_mismatch,
        "the engine's probabilities drift from the trainer's",
        "probs_diff .0026 to .036, correlation .998 to .93 from step 80 on, score falls by .2",
        ("sampling-mismatch",),
        ("reward-collapse",),
        onset=80,
        **OF_VERL,
    ),
    Series(
        "sim-verl-slow",
        verl_slow,
        "steps get slower",
        "timing_s/step 58 to 150 from step 100 to 130, lengths as they were",
        ("slow-steps",),
        onset=100,
        **OF_VERL,
    ),
    Series(
        "sim-negative-kl",
        negative_kl,
        "sampling settings break the k1 estimator",
        "objective/kl 1 to -9 between steps 20 and 110, scores fall by 1.2",
        ("negative-kl",),
        ("reward-collapse",),
        onset=20,
        **OF_PPO,
    ),
    Series(
        "sim-missing-eos",
        missing_eos,
        "no answer ends",
        "num_eos_tokens 0 throughout, scores flat at -.6",
        ("missing-eos",),
        ("no-learning",),
        abrupt=True,
        **OF_PPO,
    ),
    Series(
        "sim-ppo-critic",
        ppo_critic,
        "the value head explodes",
        "value loss .13 to 6, value clip fraction .03 to .73 from step 70 on, scores fall by .8",
        ("bad-critic",),
        ("reward-collapse",),
        onset=70,
        **OF_PPO,
    ),
    Series(
        "sim-ppo-off-policy",
        ppo_off_policy,
        "updates leave the trust region",
        "clip fraction .02 to .48, approxkl .003 to .2, ratio 1.22 from step 60 on",
        ("off-policy",),
        onset=60,
        **OF_PPO,
    ),
    Series(
        "sim-ppo-kl",
        ppo_kl,
        "the policy runs from the reference",
        "objective/kl 3 to 85 between steps 60 and 140",
        ("kl-blowup",),
        ("off-policy",),
        onset=60,
        **OF_PPO,
    ),
    Series(
        "sim-displacement",
        displacement,
        "both log-probs fall",
        "rewards/chosen 0 to -9.6, logps/chosen -280 to -376 from step 30 on, margins rise to .95",
        ("likelihood-displacement",),
        onset=30,
        **OF_DPO,
    ),
    Series(
        "sim-margin-collapse",
        margin_collapse,
        "the margin is lost again",
        "margins .85 to .14 between steps 110 and 140, loss .47 to .65",
        ("margin-collapse",),
        ("divergence",),
        onset=110,
        **OF_DPO,
    ),
    Series(
        "sim-preference-saturated",
        saturated,
        "pairs that a trivial feature separates",
        "accuracy 1.0 from step 9 on, loss below .05 from step 12 on in epoch 1, margins to 9",
        ("preference-saturated",),
        ("overfitting",),
        algorithm="dpo",
        clean="sim-dpo-clean",
    ),
    Series(
        "sim-overfitting",
        overfitting,
        "eight epochs on little data",
        "loss 1.4 to .02, eval_loss 1.03 to 1.9 from step 50 on",
        ("overfitting",),
        onset=50,
        algorithm="sft",
        clean="sim-sft-clean",
        evaluate=overfitting_evaluation,
    ),
    Series(
        "sim-divergence",
        divergence,
        "the loss climbs and stays up",
        "loss 1.0 to 3.4, grad_norm x10 between steps 110 and 160",
        ("divergence",),
        ("gradient-spike", "gradient-creep"),
        onset=110,
        algorithm="sft",
        clean="sim-sft-clean",
    ),
    Series(
        "sim-reward-at-chance",
        partial(reward_model, gain=0.0),
        "the reward model learns nothing",
        "accuracy .5, loss .694 for 400 steps",
        ("reward-model-at-chance",),
        algorithm="reward",
        count=400,
        clean="sim-reward-clean",
    ),
]


def events(series: Series, seed: int, run_id: str) -> Iterator[Event]:
    """The records of one series."""
    draw = Draw(series.count, seed, series.algorithm + series.dialect.name)
    columns = series.make(draw)
    evaluation = series.evaluate(draw) if series.evaluate else {}
    pace = next((columns[key] for key in ("step_time", "timing_s/step") if key in columns), None)
    seconds = series.seconds(draw) if series.seconds else np.full(series.count, 2.0) if pace is None else pace
    clock = np.cumsum(seconds)
    canonical = series.dialect.reader(series.algorithm)
    always = ("loss", "grad_norm", "learning_rate", "kl", "entropy", "clip_ratio", "step_time", "epoch")

    def event(i: int, row: Columns, phase: Phase, after: float = 0.0) -> Event:
        metrics, notes = measure(row, canonical)
        return Event(
            step=i + 1,
            wall_time=float(clock[i]) + after,
            metrics=metrics,
            rng=Rng(seed=seed),
            data_slice=DataSlice(),
            model_info=ModelInfo(run_id=run_id, phase=phase),
            notes=(f"text:{NOTE}", *notes) if i == 0 else tuple(notes),
        )

    for i in range(series.count):
        row = {key: float(values[i]) for key, values in columns.items()}
        if i % series.sparse:
            row = {key: value for key, value in row.items() if key.startswith(always)}
        yield event(i, row, "train")
        if evaluation and (i + 1) % 25 == 0:
            yield event(i, {key: float(values[i]) for key, values in evaluation.items()}, "eval", 0.5)


def write(series: Series, seed: int) -> None:
    """Store one series as a run."""
    run_id = f"{series.name}-s{seed}"
    shutil.rmtree(RUNS / run_id, ignore_errors=True)
    files = RunFiles(RUNS / run_id, run_id)
    rows = list(events(series, seed, run_id))
    store.write_events(rows, files, DIGITS)
    store.write_info(_info(series, seed, run_id, len(rows)), files)


def _info(series: Series, seed: int, run_id: str, records: int) -> dict[str, Any]:
    versions = {TRL: {"trl": "1.16.0"}, TRL_0: {"trl": "0.23.1"}, VERL: {"verl": "0.9.1"}}[series.dialect]
    args = {"max_steps": series.count, "logging_steps": 1, "seed": seed} | dict(series.args)
    if series.dialect is TRL and series.algorithm == "grpo":
        args |= {"learning_rate": 1e-6, "beta": 0.001, "num_generations": 8, "use_vllm": True}
    failed = series.end != "completed"
    return {
        "rldk": __version__,
        "event_schema": SCHEMA_VERSION,
        "run_id": run_id,
        "name": run_id,
        "note": NOTE,
        "attempts": [
            {
                "from_step": 0,
                "algorithm": series.algorithm,
                "devices": [{"name": "simulated", "memory_bytes": 80 * 2**30}],
                "versions": versions,
                "args": args,
            }
        ],
        "end": {
            "how": "exception" if failed else "completed",
            "detail": series.end if failed else None,
            "step": series.count,
            "records": records,
        },
    }


def labels() -> dict[str, dict[str, Any]]:
    """The entries of `labels.json`."""
    return {f"{series.name}-s{seed}": _label(series, seed) for series in SERIES for seed in SEEDS}


def _label(series: Series, seed: int) -> dict[str, Any]:
    ill = bool(series.fault)
    return {
        "kind": "simulated",
        "scenario": series.name,
        "trainer": series.algorithm,
        "seed": seed,
        "logging_steps": 1,
        "clean": not ill,
        "fault": series.fault,
        "shows": series.shows,
        "hidden": "",
        "verdict": "ill" if ill else "healthy",
        "expected": sorted(series.expected),
        "also_true": sorted(series.also_true),
        "level": series.level,
        "onset": series.onset if ill else 0,
        "abrupt": series.abrupt if ill else None,
        "truth_metric": None,
        "clean_sibling": f"{series.clean}-s{seed}" if ill else None,
        "remedy": None,
        "remedy_run": None,
        "no_remedy": "simulated: nothing can be trained again" if ill else None,
        "remedy_of": None,
    }


def main() -> int:
    """Write them all."""
    for series in SERIES:
        for seed in SEEDS:
            write(series, seed)
    print(f"{len(SERIES) * len(SEEDS)} series")
    return 0


if __name__ == "__main__":
    sys.exit(main())
