"""DPO: clean trainings and faults of learning rate, pairs, beta and adapter."""

from dataclasses import replace

from recipes import Recipe
from rule_names import rules

from scenarios.row import Scenario, at_rate

DPO = Recipe("dpo")
DPO_LORA = replace(DPO, lora=True, config={"learning_rate": 2e-3})

CLEAN = [
    Scenario(
        "dpo-clean", DPO, "", "loss .69 to .4, margins to 1.3, eval accuracy .86 to .9, eval_loss .61 to .37"
    ),
    Scenario(
        "dpo-clean-lora",
        DPO_LORA,
        "",
        "loss .69 to .45, margins to .9, eval accuracy .78 to .87, eval_loss .64 to .43",
    ),
]

FAULTS = [
    Scenario(
        f"dpo-lr-x{factor}",
        at_rate(DPO, factor),
        f"learning rate {factor} times too high",
        shows,
        rules("divergence", "gradient-spike", "likelihood-displacement", "margin-collapse"),
        hidden="the first mean of ten steps is the highest loss, 1.7 and 3.1; it falls to .65 and .7",
        clean="dpo-clean",
        remedy="learning_rate down",
        cured=DPO,
    )
    for factor, shows in (
        (100, "loss .69 to 2.1 at step 5 and .6 to 1 from then on, grad_norm 8, eval accuracy .57"),
        (1000, "loss .69 to 6 at step 5 and above .9 from then on, chosen reward -13, eval accuracy .5"),
    )
] + [
    Scenario(
        "dpo-lr-x10",
        at_rate(DPO, 10),
        "learning rate 10 times too high",
        "the toy survives: loss .7 to .15, eval accuracy .95 (clean: .9), some grad_norm of 3, chosen -1.8",
        also_true=rules("gradient-spike", "likelihood-displacement"),
        clean="dpo-clean",
        remedy="learning_rate down",
        cured=DPO,
    ),
    Scenario(
        "dpo-lr-zero",
        at_rate(DPO, 0),
        "learning rate 0",
        "lr 0, loss .6931, margins 0, grad_norm .6",
        rules("zero-learning-rate"),
        rules("frozen-policy"),
        abrupt=True,
        clean="dpo-clean",
        remedy="a learning rate",
        cured=DPO,
    ),
    Scenario(
        "dpo-lr-spike",
        replace(DPO, sabotage=("spike@{half},3,200",)),
        "200 times the learning rate for three steps in mid-run",
        "at step 75 loss .55 to 1.3 for good, margins .7 to -.3, grad_norm 2 to 7, eval accuracy .88 to .46",
        rules("divergence", "gradient-spike", "margin-collapse"),
        onset="half",
        clean="dpo-clean",
        remedy="a smooth schedule",
        cured=DPO,
    ),
    Scenario(
        "dpo-nan",
        replace(DPO, sabotage=("nan_weights@{half}",)),
        "one weight is NaN from mid-run on",
        "from step 76 on loss 0, grad_norm, rewards, logps and entropy NaN, accuracy 0; eval_loss NaN",
        rules("non-finite"),
        onset="half",
        abrupt=True,
        clean="dpo-clean",
        no_remedy="no option takes a NaN out of the weights; what led to it was put in by hand",
    ),
    Scenario(
        "dpo-swapped",
        replace(DPO, data={"swapped": True}),
        "chosen and rejected are swapped in the train split, not in the eval split",
        "train accuracy .95 and .92 at the end, eval accuracy .23, .05, ... (clean: .9), eval_loss .9 to 2.1",
        rules("swapped-preferences"),
        rules("overfitting"),
        onset="second evaluation",
        abrupt=True,
        clean="dpo-clean",
        remedy="swap the columns",
        cured=DPO,
    ),
    Scenario(
        "dpo-beta-tiny",
        replace(DPO, config={"beta": 1e-4}),
        "beta 1,000 times too small",
        "loss .6931 to .692, margins below .002; accuracy .8 and logps/chosen -22 to -30: it does learn",
        also_true=rules("likelihood-displacement"),
        clean="dpo-clean",
        remedy="beta up",
        cured=DPO,
    ),
    Scenario(
        "dpo-beta-huge",
        replace(DPO, config={"beta": 100.0}),
        "beta 1,000 times too big",
        "loss .69 to a mean of 3, single ones of 14; margins 40, grad_norm 250 to 800, eval_loss 2 to 12",
        rules("divergence"),
        rules("gradient-spike"),
        clean="dpo-clean",
        remedy="beta down",
        cured=DPO,
    ),
    Scenario(
        "dpo-frozen",
        replace(DPO_LORA, sabotage=("half_adapter",)),
        "half of the adapter is not trainable when the optimizer is built: lora_B stays 0",
        "loss .6931, margins 0 throughout; grad_norm 0 in record 1 and .04 after (peft switches it on again)",
        rules("frozen-policy"),
        clean="dpo-clean-lora",
        remedy="print_trainable_parameters, and make both halves trainable",
        cured=DPO_LORA,
    ),
    Scenario(
        "dpo-detached",
        replace(DPO_LORA, sabotage=("detached",)),
        "the optimizer holds copies of the adapter's weights",
        "loss .6931, margins 0 throughout, grad_norm .04, lr as planned",
        rules("frozen-policy"),
        clean="dpo-clean-lora",
        remedy="build the optimizer after the adapter",
        cured=DPO_LORA,
    ),
    Scenario(
        "dpo-identical",
        replace(DPO, data={"identical": True}),
        "chosen and rejected are the same text in the train split",
        "loss .6931, margins 0 and accuracy 0 throughout, grad_norm 1e-7, chosen reward 1e-4",
        rules("frozen-policy", "zero-gradient"),
        clean="dpo-clean",
        remedy="pairs that differ",
        cured=DPO,
    ),
]
