"""PPO with a critic, as verl logs it and as TRL 0.x does: faults of critic, sampling, memory and time."""

import math

import numpy as np
from bases import Columns, Draw, ppo, verl

from rldk.metrics.dialects.trl import TRL_0
from rldk.metrics.dialects.verl import VERL
from series.row import Series

OF_VERL = {"algorithm": "ppo", "dialect": VERL, "clean": "sim-verl-clean"}
OF_PPO = {"algorithm": "ppo", "dialect": TRL_0, "clean": "sim-ppo-clean"}


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


PPO = [
    Series("sim-verl-clean", verl, algorithm="ppo", dialect=VERL),
    Series("sim-ppo-clean", ppo, algorithm="ppo", dialect=TRL_0),
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
]
