"""DPO, SFT and reward models, as TRL logs them: training on data that is there before."""

from functools import partial

import numpy as np
from bases import Columns, Draw, dpo, dpo_evaluation, reward_model, sft

from series.row import Series

OF_DPO = {"algorithm": "dpo", "clean": "sim-dpo-clean", "evaluate": dpo_evaluation}


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


OFFLINE = [
    Series("sim-dpo-clean", dpo, algorithm="dpo", evaluate=dpo_evaluation),
    Series("sim-sft-clean", sft, algorithm="sft", evaluate=sft_evaluation),
    Series("sim-sft-spikes", sft_spikes, shows="2 single gradients at 9 times the level", algorithm="sft"),
    Series("sim-reward-clean", reward_model, algorithm="reward", count=400),
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
