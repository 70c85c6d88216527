"""Healthy series, drawn as each framework logs them: what the simulated faults are put into.

Noise is AR(1) with heavy tails, as in public logs; levels are those of public logs of real models.
Invariant: a seed and a name give the same numbers, in whatever order they are asked for, so that a fault
changes nothing but what it says.
"""

import zlib
from typing import Any

import numpy as np

Columns = dict[str, Any]


class Draw:
    """The random numbers of one series; the same, in the same order, with and without the fault."""

    def __init__(self, count: int, seed: int, name: str) -> None:
        self.count, self._seed, self._name = count, seed, name
        self.step = np.arange(1, count + 1)

    def noise(self, key: str, sd: float = 1.0, memory: float = 0.5) -> np.ndarray:
        """AR(1) around 0 with standard deviation `sd` and Student tails of 5 degrees."""
        chance = np.random.default_rng([self._seed, zlib.crc32(f"{self._name} {key}".encode())])
        shocks = chance.standard_t(5, self.count) / np.sqrt(5 / 3) * np.sqrt(1 - memory**2)
        series = np.empty(self.count)
        last = chance.standard_normal()
        for i, shock in enumerate(shocks):
            last = memory * last + shock
            series[i] = last
        return sd * series

    def rise(self, start: float, end: float, over: float = 0.5) -> np.ndarray:
        """From `start` towards `end`, most of the way after the share `over` of the run."""
        return end + (start - end) * np.exp(-2 * self.step / (over * self.count))

    def ramp(self, onset: int, length: int) -> np.ndarray:
        """0 before `onset`, 1 from `onset + length` on."""
        return np.clip((self.step - onset) / max(length, 1), 0, 1)


def decay(draw: Draw, peak: float) -> np.ndarray:
    """A linear schedule with a warm-up of 10 steps."""
    return peak * np.minimum(draw.step / 10, 1 - (draw.step - 10) / (draw.count + 10))


def grpo(draw: Draw, **changes: Any) -> Columns:
    """A healthy GRPO of a real model with vLLM, at one update a batch; logs of TRL 1.16."""
    n = draw.noise
    reward = draw.rise(0.32, 0.61) + n("reward", 0.03)
    length = 410 + 40 * np.tanh(draw.step / 80) + n("length", 18)
    difference = 0.012 * np.exp(n("difference", 0.08))
    return {
        "loss": n("loss", 0.01, 0) + 0.002,
        "grad_norm": 0.35 * np.exp(n("grad", 0.25, 0.2)),
        "learning_rate": decay(draw, 1e-6),
        "num_tokens": np.cumsum(64 * (length + 120)),
        "completions/mean_length": length,
        "completions/min_length": 0.25 * length + n("min", 6),
        "completions/max_length": np.minimum(1024, 2.1 * length + n("max", 60)),
        "completions/clipped_ratio": np.clip(0.012 + n("clipped", 0.01), 0, 1),
        "completions/mean_terminated_length": length - 4,
        "rewards/accuracy/mean": reward - 0.08,
        "rewards/accuracy/std": 0.43 + n("accuracy_std", 0.015),
        "rewards/format/mean": np.clip(draw.rise(0.6, 0.95, 0.2) + n("format", 0.02), 0, 1) * 0.1,
        "rewards/format/std": 0.02 + np.abs(n("format_std", 0.004)),
        "reward": reward,
        "reward_std": 0.44 + n("reward_std", 0.02),
        "frac_reward_zero_std": np.clip(0.22 + 0.08 * draw.step / draw.count + n("frac", 0.06), 0, 1),
        "kl": 0.0005 + 0.02 * draw.rise(0, 1) * np.exp(n("kl", 0.25)),
        "entropy": 0.42 * draw.rise(1, 0.75) + n("entropy", 0.012),
        "clip_ratio/region_mean": 0 * draw.step,
        "sampling/sampling_logp_difference/mean": difference,
        "sampling/sampling_logp_difference/max": 0.9 + np.abs(n("difference_max", 0.4, 0)),
        "sampling/importance_sampling_ratio/mean": np.clip(0.995 + n("ratio", 0.003), 0, 2),
        "sampling/importance_sampling_ratio/min": np.clip(0.35 + n("ratio_min", 0.12, 0), 0, 1),
        "sampling/importance_sampling_ratio/max": 1.7 + np.abs(n("ratio_max", 0.25, 0)),
        "step_time": 21 * length / 430 * np.exp(n("time", 0.05)),
        "epoch": draw.step / draw.count,
    } | changes


def verl(draw: Draw, **changes: Any) -> Columns:
    """A healthy PPO of verl."""
    n = draw.noise
    length = 380 + n("length", 15)
    return {
        "actor/pg_loss": n("pg", 0.01, 0),
        "actor/grad_norm": 0.9 * np.exp(n("grad", 0.2, 0.2)),
        "actor/lr": np.full(draw.count, 1e-6),
        "actor/entropy": 0.5 * draw.rise(1, 0.7) + n("entropy", 0.012),
        "actor/pg_clipfrac": np.clip(0.012 + n("clip", 0.005), 0, 1),
        "actor/ppo_kl": 0.0008 + n("ppo_kl", 0.0004),
        "critic/score/mean": draw.rise(0.25, 0.6) + n("score", 0.03),
        "critic/vf_explained_var": np.clip(draw.rise(-0.5, 0.72, 0.25) + n("explained", 0.05), -5, 1),
        "critic/vf_loss": 0.05 + 0.12 * draw.rise(1, 0, 0.3) + np.abs(n("vf", 0.01)),
        "critic/grad_norm": 6 * np.exp(n("critic_grad", 0.25, 0.2)),
        "response_length/mean": length,
        "response_length/clip_ratio": np.clip(0.02 + n("clipped", 0.01), 0, 1),
        "training/rollout_probs_diff_mean": 0.0026 * np.exp(n("probs", 0.06)),
        "training/rollout_actor_probs_pearson_corr": 0.9985 - np.abs(n("corr", 0.0004)),
        "timing_s/gen": 30 * length / 380 * np.exp(n("gen", 0.05)),
        "timing_s/step": 58 * length / 380 * np.exp(n("time", 0.04)),
        "perf/max_memory_allocated_gb": np.maximum.accumulate(
            51 + 1.2 * np.tanh(draw.step / 15) + n("mem", 0.1)
        ),
        "perf/max_memory_reserved_gb": np.maximum.accumulate(
            62 + 2.5 * np.tanh(draw.step / 15) + n("res", 0.1)
        ),
    } | changes


def ppo(draw: Draw, **changes: Any) -> Columns:
    """A healthy PPO of TRL 0.23."""
    n = draw.noise
    return {
        "episode": 64 * draw.step,
        "objective/kl": 0.2 + draw.rise(0, 5) + n("kl", 0.4),
        "objective/entropy": 62 - 8 * draw.step / draw.count + n("entropy", 2),
        "objective/non_score_reward": -0.05 * (0.2 + draw.rise(0, 5) + n("kl", 0.4)),
        "objective/scores": draw.rise(-0.6, 1.1) + n("scores", 0.15),
        "objective/rlhf_reward": draw.rise(-0.6, 0.85) + n("scores", 0.15),
        "policy/approxkl_avg": 0.003 * np.exp(n("approx", 0.35)),
        "policy/clipfrac_avg": np.clip(0.02 + n("clip", 0.008), 0, 1),
        "policy/entropy_avg": 1.15 - 0.15 * draw.step / draw.count + n("entropy_avg", 0.03),
        "loss/policy_avg": -0.01 + n("policy", 0.008),
        "loss/value_avg": (0.1 + 0.4 * draw.rise(1, 0, 0.25)) * np.exp(n("value", 0.15)),
        "val/clipfrac_avg": np.clip(0.03 + n("value_clip", 0.012), 0, 1),
        "val/ratio": 1 + n("ratio", 0.002),
        "val/ratio_var": 1e-5 * np.exp(n("ratio_var", 0.6)),
        "val/num_eos_tokens": np.round(np.clip(58 + n("eos", 3), 0, 64)),
        "lr": decay(draw, 3e-6),
        "eps": np.round(3 + n("eps", 0.1)),
        "epoch": draw.step / draw.count,
    } | changes


def dpo(draw: Draw, *, shift: Any = 0.0, **changes: Any) -> Columns:
    """A healthy DPO of a 7B model; `shift` moves chosen and rejected rewards together."""
    n = draw.noise
    margin = draw.rise(0, 0.95) + n("margin", 0.08)
    chosen = -0.1 * draw.rise(0, 1) + n("chosen", 0.05) + shift
    return {
        "loss": 0.69 - 0.62 * (1 - np.exp(-margin / 1.9)) + n("loss", 0.02),
        "grad_norm": 4.5 * np.exp(n("grad", 0.2, 0.2)),
        "learning_rate": decay(draw, 5e-7),
        "rewards/chosen": chosen,
        "rewards/rejected": chosen - margin,
        "rewards/margins": margin,
        "rewards/accuracies": np.clip(0.5 + 0.25 * draw.rise(0, 1) + n("accuracy", 0.05), 0, 1),
        "logps/chosen": -280 + 10 * chosen + n("logps", 12),
        "logps/rejected": -260 + 10 * (chosen - margin) + n("logps_rejected", 12),
        "logits/chosen": -2.5 + n("logits", 0.05),
        "logits/rejected": -2.4 + n("logits", 0.05),
        "entropy": 1.1 + n("entropy", 0.03),
        "epoch": 2 * draw.step / draw.count,
    } | changes


def dpo_evaluation(draw: Draw, margin: Any = None, loss: Any = None) -> Columns:
    """The evaluations of that DPO."""
    margin = draw.rise(0, 0.8) if margin is None else margin
    return {
        "eval_loss": (0.69 - 0.2 * draw.rise(0, 1) if loss is None else loss)
        + draw.noise("eval_loss", 0.004),
        "eval_rewards/margins": margin + draw.noise("eval_margin", 0.02),
        "eval_rewards/accuracies": 0.5 + 0.22 * draw.rise(0, 1) + draw.noise("eval_accuracy", 0.01),
        "eval_rewards/chosen": -0.1 * draw.rise(0, 1),
        "eval_rewards/rejected": -0.1 * draw.rise(0, 1) - margin,
    }


def sft(draw: Draw, *, loss: Any = None, **changes: Any) -> Columns:
    """A healthy SFT of a real model."""
    loss = draw.rise(1.45, 0.98, 0.4) if loss is None else loss
    return {
        "loss": loss * np.exp(draw.noise("loss", 0.03)),
        "grad_norm": 0.9 * np.exp(draw.noise("grad", 0.2, 0.2)),
        "learning_rate": decay(draw, 2e-5),
        "mean_token_accuracy": np.exp(-0.42 * loss) + draw.noise("accuracy", 0.006),
        "entropy": 1.02 * loss + draw.noise("entropy", 0.01),
        "num_tokens": 16_000.0 * draw.step,
        "epoch": 3 * draw.step / draw.count,
    } | changes


def reward_model(draw: Draw, *, gain: float = 1.0) -> Columns:
    """A reward model; without `gain` it stays at chance."""
    accuracy = 0.5 + gain * draw.rise(0, 0.2, 0.3)
    return {
        "loss": 0.694 - gain * draw.rise(0, 0.11, 0.3) + draw.noise("loss", 0.004 + 0.012 * gain),
        "grad_norm": 3 * np.exp(draw.noise("grad", 0.25, 0.2)),
        "learning_rate": decay(draw, 1e-5),
        "accuracy": np.clip(accuracy + draw.noise("accuracy", 0.04, 0), 0, 1),
        "margin": gain * draw.rise(0, 0.6, 0.3) + draw.noise("margin", 0.03),
        "mean_reward": 0.1 + draw.noise("mean", 0.05),
        "min_reward": -1.4 + draw.noise("min", 0.15),
        "max_reward": 1.5 + draw.noise("max", 0.15),
        "num_tokens": 12_000.0 * draw.step,
        "epoch": draw.step / draw.count,
    }
