"""SFT: the clean training and faults of learning rate, labels and data."""

from dataclasses import replace

from recipes import Recipe
from rule_names import rules

from scenarios.row import Scenario, at_rate

SFT = Recipe("sft")

CLEAN = [
    Scenario("sft-clean", SFT, "", "loss 2.7 to 1.7, eval_loss 1.83 to 1.72, token accuracy .2 to .29"),
]

FAULTS = [
    Scenario(
        f"sft-lr-x{factor}",
        at_rate(SFT, factor),
        f"learning rate {factor} times too high",
        shows,
        rules("divergence", "gradient-spike"),
        hidden="the first mean of ten steps holds the climb: loss 4 to 2.1, and 16 to 30 to 3",
        clean="sft-clean",
        remedy="learning_rate down",
        cured=SFT,
    )
    for factor, shows in (
        (100, "loss 2.6 to 5 at step 5, 2.3 from step 50 on (clean: 1.75), eval_loss 2.7 to 2.2"),
        (1000, "loss 2.6 to 50 at step 22, 8 at step 90, token accuracy .02, eval_loss 42 to 3"),
    )
] + [
    Scenario(
        "sft-lr-x10",
        at_rate(SFT, 10),
        "learning rate 10 times too high",
        "the toy survives: loss 2.6 to 3.3 at step 5, 1.75 as the clean one by step 54; one grad_norm of 10",
        also_true=rules("gradient-spike"),
        clean="sft-clean",
        remedy="learning_rate down",
        cured=SFT,
    ),
    Scenario(
        "sft-lr-zero",
        at_rate(SFT, 0),
        "learning rate 0",
        "lr 0, loss flat at 2.6, eval_loss too",
        rules("zero-learning-rate"),
        abrupt=True,
        clean="sft-clean",
        remedy="a learning rate",
        cured=SFT,
    ),
    Scenario(
        "sft-lr-spike",
        replace(SFT, sabotage=("spike@{half},3,200",)),
        "200 times the learning rate for three steps in mid-run",
        "at step 75 loss 1.7 to 6 (seed 2: 4.8), 3 at the end, grad_norm .8 to 10, eval_loss 1.73 to 4.4",
        rules("divergence", "gradient-spike"),
        onset="half",
        clean="sft-clean",
        remedy="a smooth schedule",
        cured=SFT,
    ),
    Scenario(
        "sft-nan",
        replace(SFT, sabotage=("nan_weights@{half}",)),
        "one weight is NaN from mid-run on",
        "from step 76 on loss 0, grad_norm and entropy NaN, token accuracy 0; eval_loss NaN",
        rules("non-finite"),
        onset="half",
        abrupt=True,
        clean="sft-clean",
        no_remedy="no option takes a NaN out of the weights; what led to it was put in by hand",
    ),
    Scenario(
        "sft-masked",
        replace(SFT, sabotage=("masked_labels",)),
        "every label is -100",
        "loss, gradient, entropy and token accuracy exactly 0 throughout, in the evaluations too",
        rules("labels-masked"),
        rules("zero-gradient"),
        abrupt=True,
        clean="sft-clean",
        remedy="labels on the answer: max_length up, or the right response template",
        cured=SFT,
    ),
    Scenario(
        "sft-overfit",
        replace(SFT, data={"rows": 48}),
        "48 rows, 50 times over",
        "loss 2.6 to 1.4, eval_loss 1.84 at step 25 to 2.1 and 2.3 (clean: 1.72)",
        rules("overfitting"),
        clean="sft-clean",
        remedy="more data, fewer epochs",
        cured=SFT,
    ),
]
