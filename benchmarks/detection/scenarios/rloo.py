"""RLOO: the clean training, and those faults of GRPO that tell of the difference."""

from dataclasses import replace

from recipes import Recipe
from rule_names import AFTERMATH, RUNAWAY, rules

from scenarios.row import Scenario, at_rate

RLOO = Recipe("rloo")

CLEAN = [
    Scenario(
        "rloo-clean",
        RLOO,
        "",
        "reward .54 to .77, kl to .25, entropy 1.8 to 1.65, length 8 to 7, grad_norm .3 to 1, single 3.7",
    ),
]

FAULTS = [
    Scenario(
        f"rloo-lr-x{factor}",
        at_rate(RLOO, factor),
        f"learning rate {factor} times too high",
        shows,
        RUNAWAY,
        AFTERMATH,
        blurred=AFTERMATH,
        clean="rloo-clean",
        remedy="learning_rate down",
        cured=RLOO,
    )
    for factor, shows in (
        (
            100,
            "at step 5 kl 5 to 6, reward .54 to .1, grad_norm 40 and 190; then kl 8, reward 0, length 1 to 2",
        ),
        (1000, "by step 9 kl 6, entropy 0, every completion cut at 40 tokens, reward 0, gradient 0 for good"),
    )
] + [
    Scenario(
        "rloo-lr-x10",
        at_rate(RLOO, 10),
        "learning rate 10 times too high",
        "reward .54 to 0 by step 18 (seed 2: .1 at 27, then .6), kl 5 to 9, grad_norm 200, length 1 to 4",
        RUNAWAY,
        AFTERMATH,
        blurred=AFTERMATH,
        clean="rloo-clean",
        remedy="learning_rate down",
        cured=RLOO,
    ),
    Scenario(
        "rloo-lr-zero",
        at_rate(RLOO, 0),
        "learning rate 0",
        "lr 0, reward flat at .55, kl 0, grad_norm .5 to 1",
        rules("zero-learning-rate"),
        abrupt=True,
        clean="rloo-clean",
        remedy="a learning rate",
        cured=RLOO,
    ),
    Scenario(
        "rloo-lr-spike",
        replace(RLOO, sabotage=("spike@{half},3,200",)),
        "200 times the learning rate for three steps in mid-run",
        "at step 60 kl .25 to 6 and 8.6, reward .71 to 0 for good, length 7 to 1, grad_norm 40 or 0",
        RUNAWAY,
        AFTERMATH,
        onset="half",
        clean="rloo-clean",
        remedy="a smooth schedule",
        cured=RLOO,
    ),
    Scenario(
        "rloo-reward-constant",
        replace(RLOO, rewards=("constant",)),
        "the reward is 0 for every completion",
        "reward, spread, gradient and kl exactly 0, frac_reward_zero_std 1 throughout",
        rules("dead-reward", "zero-advantage"),
        rules("zero-gradient"),
        abrupt=True,
        clean="rloo-clean",
        remedy="run the reward function on gold answers, and repair it",
        cured=RLOO,
    ),
    Scenario(
        "rloo-cap",
        replace(RLOO, config={"max_completion_length": 4}),
        "completions are cut after 4 tokens; whole ones have 9",
        "cut .81 to 1, length 4 of 4; the reward rises all the same, .4 to .7",
        rules("truncation"),
        rules("zero-advantage"),
        abrupt=True,
        clean="rloo-clean",
        remedy="max_completion_length up",
        cured=RLOO,
    ),
]
