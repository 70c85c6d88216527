"""The table of the detection set: which training, which fault, what its series show, what it is to be called.

The one source of `labels.json`. Invariant: a label says what the series show, not what was meant to be
shown: `shows` was written with the recorded numbers in view, and a fault that the toy survives is labelled as
the healthy run that it is.
"""

from dataclasses import dataclass, replace
from typing import Literal

from recipes import Recipe

__all__ = ["SCENARIOS", "SEEDS", "Scenario", "by_name", "same_as"]

SEEDS = (1, 2)

RUNAWAY = frozenset({"kl-blowup", "reward-collapse", "entropy-collapse", "entropy-explosion"})
"""What a policy that steps too far does: each is a right name for it, the learning rate its first cause."""

AFTERMATH = frozenset(
    {"truncation", "length-runaway", "length-collapse", "zero-advantage", "zero-gradient", "gradient-spike"}
)
"""Where such a policy ends: it writes to the limit or nothing, the same for every prompt."""


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    name: str
    recipe: Recipe
    fault: str
    """What was done to the training; empty for a clean one."""
    shows: str
    """What the series show, in numbers."""
    expected: frozenset[str] = frozenset()
    """Rules any of which, at `level` or above, names the right cause; none: to stay silent is right."""
    also_true: frozenset[str] = frozenset()
    """Rules that speak of true consequences: neither the cause nor a false alarm."""
    level: Literal["info", "warning"] = "warning"
    onset: Literal["start", "half", "resume", "second evaluation"] = "start"
    abrupt: bool = False
    """Whether it is there at once and in full, so that an alarm is due within ten records."""
    clean: str = ""
    """The scenario that differs in the fault alone."""
    remedy: str = ""
    """The first remedy, as the doctor should give it."""
    cured: Recipe | None = None
    """The training with the remedy; often the clean sibling's own recipe."""
    cured_shows: str = ""
    """What the series of a training with the remedy show, where no other scenario is it."""
    no_remedy: str = ""
    """Why the toy shows none."""
    truth: str | None = None
    """The metric that is the truth behind the reward: `truth_metric`."""
    seldom: bool = True
    """Whether it is also trained with `logging_steps=10`."""
    hidden: str = ""
    """What `logging_steps=10` hides: there an alarm of `expected` is true, but not due."""
    blurred: frozenset[str] = frozenset()
    """With `logging_steps=10` also right, besides `expected`: the first record is ill already."""

    def onset_step(self, recipe: Recipe) -> int:
        """The first step whose record can show the fault."""
        if self.onset == "second evaluation":
            return 2 * int(recipe.settings["eval_steps"])
        if self.onset == "resume":
            saved = int(recipe.settings["save_steps"])
            return recipe.half // saved * saved + 1
        return recipe.half + 1 if self.onset == "half" else 1


def _s(*names: str) -> frozenset[str]:
    return frozenset(names)


GRPO = Recipe("grpo")
RLOO = Recipe("rloo")
DPO = Recipe("dpo")
SFT = Recipe("sft")
LONG = replace(GRPO, config={"max_steps": 520})
TRUTH = replace(GRPO, rewards=("colours", "correct"), config={"reward_weights": [1.0, 0.0]})
PUNISHED = replace(GRPO, rewards=("length", "overlong@40"))
CORRECT = replace(GRPO, rewards=("correct",))
GRPO_LORA = replace(GRPO, lora=True, config={"learning_rate": 5e-3})
DPO_LORA = replace(DPO, lora=True, config={"learning_rate": 2e-3})
RESUMED = replace(
    GRPO,
    config={"save_strategy": "steps", "save_steps": 50},
    sabotage=("killed@{half}",),
    resume={},
)
FRESH = replace(RESUMED, config={**RESUMED.config, "save_only_model": True})
"""Resumed from the weights alone: with the schedule saved, transformers keeps the old learning rate."""


def _rate(recipe: Recipe, factor: float) -> Recipe:
    rate = recipe.settings["learning_rate"]
    return replace(recipe, config={**recipe.config, "learning_rate": rate * factor})


CLEAN = [
    Scenario(
        "grpo-clean",
        GRPO,
        "",
        "reward .54 to .9, kl to .9, entropy 1.8 to 1.6, length 8 to 10, cut 0 to .06, no flat group",
    ),
    Scenario(
        "grpo-clean-long",
        LONG,
        "",
        "reward .55 to 1.27, kl to 4 as the reward rises, entropy 1.8 to 1.45, length 9 to 17",
        seldom=False,
    ),
    Scenario(
        "grpo-clean-truth", TRUTH, "", "as grpo-clean; the truth stands at .97", truth="rewards/correct/mean"
    ),
    Scenario(
        "grpo-clean-correct",
        CORRECT,
        "",
        "reward .97 to 1: nearly solved at the start; frac_reward_zero_std .75 to 1, gradient .02 to .6",
    ),
    Scenario(
        "grpo-clean-lora",
        GRPO_LORA,
        "",
        "reward .55 to .63, kl to .2, grad_norm .04 to .3, single 1; entropy 1.8",
    ),
    Scenario(
        "grpo-clean-resumed",
        RESUMED,
        "",
        "killed at step 60, resumed from 50: lr, kl and reward go on; reward .54 to .85",
    ),
    Scenario(
        "rloo-clean",
        RLOO,
        "",
        "reward .54 to .77, kl to .25, entropy 1.8 to 1.65, length 8 to 7, grad_norm .3 to 1, single 3.7",
    ),
    Scenario(
        "dpo-clean", DPO, "", "loss .69 to .4, margins to 1.3, eval accuracy .86 to .9, eval_loss .61 to .37"
    ),
    Scenario(
        "dpo-clean-lora",
        DPO_LORA,
        "",
        "loss .69 to .45, margins to .9, eval accuracy .78 to .87, eval_loss .64 to .43",
    ),
    Scenario("sft-clean", SFT, "", "loss 2.7 to 1.7, eval_loss 1.83 to 1.72, token accuracy .2 to .29"),
]

GRPO_FAULTS = [
    Scenario(
        f"grpo-lr-x{factor}",
        _rate(GRPO, factor),
        f"learning rate {factor} times too high",
        shows,
        RUNAWAY,
        AFTERMATH,
        blurred=AFTERMATH,
        clean="grpo-clean",
        remedy="learning_rate down",
        cured=GRPO,
    )
    for factor, shows in (
        (100, "by step 9 kl 4.5, every completion cut at 40 tokens, reward .54 to .3 for good"),
        (
            1000,
            "by step 9 kl 6, entropy 0 to .03, every completion cut, reward .54 to .3 for good, gradient 0",
        ),
    )
] + [
    Scenario(
        "grpo-lr-x10",
        _rate(GRPO, 10),
        "learning rate 10 times too high",
        "seed 1 learns faster than the clean one (1.32, .9); seed 2 falls to .17 at step 43, then 1.1; kl 4",
        also_true=RUNAWAY | AFTERMATH,
        clean="grpo-clean",
        remedy="learning_rate down",
        cured=GRPO,
    ),
    Scenario(
        "grpo-lr-zero",
        _rate(GRPO, 0),
        "learning rate 0",
        "lr 0, reward flat at .55, kl 0, grad_norm .6",
        _s("zero-learning-rate"),
        abrupt=True,
        clean="grpo-clean",
        remedy="a learning rate",
        cured=GRPO,
    ),
    Scenario(
        "grpo-lr-spike",
        replace(GRPO, sabotage=("spike@{half},3,200",)),
        "200 times the learning rate for three steps in mid-run",
        "at step 60 kl .4 to 7.5, reward .8 to .05 and .2 at the end, entropy 1.7 to .3 or .9",
        RUNAWAY,
        AFTERMATH,
        onset="half",
        clean="grpo-clean",
        remedy="a smooth schedule",
        cured=GRPO,
    ),
    Scenario(
        "grpo-reward-constant",
        replace(GRPO, rewards=("constant",)),
        "the reward is 0 for every completion",
        "reward, spread, gradient and kl exactly 0, frac_reward_zero_std 1 throughout",
        _s("dead-reward", "zero-advantage"),
        _s("zero-gradient"),
        abrupt=True,
        clean="grpo-clean",
        remedy="run the reward function on gold answers, and repair it",
        cured=GRPO,
    ),
    Scenario(
        "grpo-reward-length",
        replace(GRPO, rewards=("length",)),
        "the reward is the length",
        "length 8 to 36, cut 0 to .8, reward .22 to 1.1, kl .13",
        _s("truncation", "length-runaway", "reward-length-correlation"),
        clean="grpo-clean",
        remedy="get_soft_overlong_punishment beside it",
        cured=PUNISHED,
    ),
    Scenario(
        "grpo-reward-length-punished",
        PUNISHED,
        "the reward is the length, with TRL's get_soft_overlong_punishment beside it",
        "length 8 to 20, cut 0 to .2, reward .22 to .34; with 300 steps length 20, cut 0 from step 170 on",
        also_true=_s("truncation", "length-runaway", "reward-length-correlation"),
        clean="grpo-clean",
        remedy="pay for the answer, not for its length",
        cured=GRPO,
    ),
    Scenario(
        "grpo-reward-hacked",
        replace(TRUTH, rewards=("colour_count", "correct")),
        "the reward counts colours wherever they stand; whether the sentence is right is recorded, weight 0",
        "reward .06 to .85, truth 1 to .25, length 8 to 36, cut 0 to .8, kl .25",
        _s("proxy-divergence"),
        _s("truncation", "length-runaway", "reward-length-correlation", "kl-blowup"),
        clean="grpo-clean-truth",
        truth="rewards/correct/mean",
        cured_shows="truth 1 to .88 and steady, length 8 to 17, cut 0 to .1, single .2; reward 1.05 to 1.3",
        remedy="let the truth count: reward_weights",
        cured=replace(TRUTH, rewards=("colour_count", "correct"), config={"reward_weights": [1.0, 1.0]}),
    ),
    Scenario(
        "grpo-reward-switched",
        replace(GRPO, rewards=("switched@{half}",)),
        "from mid-run on the reward is turned round",
        "reward .75 to .19 at step 60; seed 1 is at .7 by step 95, seed 2 at 1 by step 77 (two words, kl 4)",
        _s("reward-collapse"),
        _s("kl-blowup", "length-collapse", "entropy-collapse", "zero-advantage"),
        onset="half",
        clean="grpo-clean",
        remedy="the reward as it was",
        cured=GRPO,
    ),
    Scenario(
        "grpo-cap",
        replace(GRPO, config={"max_completion_length": 4}),
        "completions are cut after 4 tokens; whole ones have 9",
        "cut .81 to 1, length 4 of 4, no terminated completions; the reward rises all the same, .4 to .72",
        _s("truncation"),
        _s("zero-advantage"),
        abrupt=True,
        clean="grpo-clean",
        remedy="max_completion_length up",
        cured=GRPO,
    ),
]
GRPO_MORE = [
    Scenario(
        "grpo-cap-dead",
        replace(CORRECT, config={"max_completion_length": 2}),
        "completions are cut after 2 tokens, and a correct sentence has 3",
        "cut 1, length 2 of 2, reward, gradient and kl 0 throughout, frac_reward_zero_std 1",
        _s("truncation"),
        _s("dead-reward", "zero-advantage", "zero-gradient"),
        abrupt=True,
        clean="grpo-clean-correct",
        remedy="max_completion_length up",
        cured=CORRECT,
    ),
    Scenario(
        "grpo-reward-noise",
        replace(LONG, rewards=("noise",)),
        "the reward is a random number",
        "reward .48 with a noise of .05 for 520 steps, kl wanders below .1, gradient .45",
        _s("no-learning"),
        level="info",
        clean="grpo-clean-long",
        remedy="a reward that depends on the completion",
        cured=LONG,
        seldom=False,
    ),
    Scenario(
        "grpo-reward-saturating",
        replace(GRPO, rewards=("any_colour",)),
        "one colour anywhere earns the whole reward",
        "reward .35 to .92 by step 30 and no higher; then length 20 to 30, cut .25 to .5, frac .25 to .75",
        _s("truncation", "length-runaway", "reward-length-correlation"),
        _s("zero-advantage"),
        clean="grpo-clean",
        remedy="a reward that tells better from good",
        cured=GRPO,
    ),
    Scenario(
        "grpo-reward-none",
        replace(GRPO, rewards=("none_batches@3",)),
        "in every third step the reward function returns None for all",
        "every third reward, reward_std and rewards/colours/* None, gradient near 0 there; else .54 to .82",
        _s("missing-rewards"),
        hidden="the mean of ten steps leaves the None out: no trace",
        clean="grpo-clean",
        remedy="return a number",
        cured=GRPO,
    ),
    Scenario(
        "grpo-reward-none-covered",
        replace(GRPO, rewards=("none_batches@3", "correct")),
        "in every third step one of two reward functions returns None for all",
        "rewards/colours/* None in every third step, the total reward never: 1.5 to 1.8, and 1 there",
        also_true=_s("missing-rewards"),
        hidden="the mean of ten steps leaves the None out: no trace",
        clean="grpo-clean",
        remedy="return a number",
        cured=GRPO,
    ),
    Scenario(
        "grpo-reward-inf",
        replace(GRPO, rewards=("infinite@4",)),
        "in every fourth step one reward is +inf",
        "every fourth reward and its std is inf; training goes on, .54 to .84",
        _s("non-finite"),
        abrupt=True,
        clean="grpo-clean",
        remedy="a finite reward",
        cured=GRPO,
    ),
    Scenario(
        "grpo-beta-tiny",
        replace(GRPO, config={"beta": 1e-5}),
        "beta 10,000 times too small",
        "the toy survives: reward .54 to 1, kl to 2 (clean: .9)",
        clean="grpo-clean",
        no_remedy="the toy is healthy without one",
    ),
    Scenario(
        "grpo-beta-huge",
        replace(GRPO, config={"beta": 100.0}),
        "beta 1,000 times too big",
        "kl below .001 but for single .01, reward flat at .55, grad_norm 1 to 12 (clean: .6)",
        also_true=_s("no-learning", "gradient-spike"),
        clean="grpo-clean",
        remedy="beta down",
        cured=GRPO,
    ),
    Scenario(
        "grpo-wrong-eos",
        replace(GRPO, eos="<end>"),
        "model and tokenizer are told an EOS that the model never writes",
        "cut .97 to 1, length 39 to 40 of 40 throughout, reward .015 to .14 (clean: .54 to .9)",
        _s("truncation", "eos-mismatch"),
        _s("zero-advantage"),
        abrupt=True,
        clean="grpo-clean",
        remedy="the EOS that the model writes",
        cured=GRPO,
    ),
    Scenario(
        "grpo-frozen",
        replace(GRPO_LORA, sabotage=("detached",)),
        "the optimizer holds copies of the adapter's weights",
        "kl 0 and reward flat at .55 throughout, grad_norm .04, lr as planned",
        _s("frozen-policy"),
        clean="grpo-clean-lora",
        remedy="build the optimizer after the adapter",
        cured=GRPO_LORA,
    ),
    Scenario(
        "grpo-cold",
        replace(GRPO, config={"temperature": 0.1}),
        "sampling temperature 0.1",
        "frac 1, gradient 0 for 10 and 25 steps; then reward .9, std 6e-8 (for which frac is 0), kl 2.6",
        _s("zero-advantage"),
        _s("zero-gradient", "dead-reward", "kl-blowup", "gradient-spike"),
        hidden="frac is 1 in two records of 30, then the spread is .003 of a reward of .9",
        clean="grpo-clean",
        remedy="temperature=1.0",
        cured=GRPO,
    ),
    Scenario(
        "grpo-hot",
        replace(GRPO, config={"temperature": 3.0}),
        "sampling temperature 3",
        "entropy 2.9 of at most 3.5 from record 1, reward .06 to .09 (clean: .54 to .9), gradient normal",
        also_true=_s("no-learning", "broken-start", "entropy-explosion"),
        clean="grpo-clean",
        remedy="temperature=1.0",
        cured=GRPO,
    ),
    Scenario(
        "grpo-resume-fresh",
        FRESH,
        "killed, and resumed from the weights alone",
        "killed at step 60, resumed from 50: kl and reward go on; lr .0003 to 0 and .0005, as if new",
        also_true=_s("resume-jump"),
        onset="resume",
        clean="grpo-clean-resumed",
        remedy="save_only_model=False",
        cured=RESUMED,
    ),
    Scenario(
        "grpo-resume-lr",
        replace(FRESH, resume={"learning_rate": 2e-2}),
        "killed, and resumed with 40 times the learning rate",
        "killed at step 60, resumed from 50: lr .0003 to .019, kl .4 to 4.9, reward .77 to .1 and .3",
        _s("resume-jump"),
        RUNAWAY | AFTERMATH,
        onset="resume",
        clean="grpo-clean-resumed",
        remedy="resume with the learning rate of the run",
        cured=RESUMED,
    ),
]

DPO_FAULTS = [
    Scenario(
        f"dpo-lr-x{factor}",
        _rate(DPO, factor),
        f"learning rate {factor} times too high",
        shows,
        _s("divergence", "gradient-spike", "likelihood-displacement", "margin-collapse"),
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
        _rate(DPO, 10),
        "learning rate 10 times too high",
        "the toy survives: loss .7 to .15, eval accuracy .95 (clean: .9), some grad_norm of 3, chosen -1.8",
        also_true=_s("gradient-spike", "likelihood-displacement"),
        clean="dpo-clean",
        remedy="learning_rate down",
        cured=DPO,
    ),
    Scenario(
        "dpo-lr-zero",
        _rate(DPO, 0),
        "learning rate 0",
        "lr 0, loss .6931, margins 0, grad_norm .6",
        _s("zero-learning-rate"),
        _s("frozen-policy"),
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
        _s("divergence", "gradient-spike", "margin-collapse"),
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
        _s("non-finite"),
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
        _s("swapped-preferences"),
        _s("overfitting"),
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
        also_true=_s("likelihood-displacement"),
        clean="dpo-clean",
        remedy="beta up",
        cured=DPO,
    ),
    Scenario(
        "dpo-beta-huge",
        replace(DPO, config={"beta": 100.0}),
        "beta 1,000 times too big",
        "loss .69 to a mean of 3, single ones of 14; margins 40, grad_norm 250 to 800, eval_loss 2 to 12",
        _s("divergence"),
        _s("gradient-spike"),
        clean="dpo-clean",
        remedy="beta down",
        cured=DPO,
    ),
    Scenario(
        "dpo-frozen",
        replace(DPO_LORA, sabotage=("half_adapter",)),
        "half of the adapter is not trainable when the optimizer is built: lora_B stays 0",
        "loss .6931, margins 0 throughout; grad_norm 0 in record 1 and .04 after (peft switches it on again)",
        _s("frozen-policy"),
        clean="dpo-clean-lora",
        remedy="print_trainable_parameters, and make both halves trainable",
        cured=DPO_LORA,
    ),
    Scenario(
        "dpo-detached",
        replace(DPO_LORA, sabotage=("detached",)),
        "the optimizer holds copies of the adapter's weights",
        "loss .6931, margins 0 throughout, grad_norm .04, lr as planned",
        _s("frozen-policy"),
        clean="dpo-clean-lora",
        remedy="build the optimizer after the adapter",
        cured=DPO_LORA,
    ),
    Scenario(
        "dpo-identical",
        replace(DPO, data={"identical": True}),
        "chosen and rejected are the same text in the train split",
        "loss .6931, margins 0 and accuracy 0 throughout, grad_norm 1e-7, chosen reward 1e-4",
        _s("frozen-policy", "zero-gradient"),
        clean="dpo-clean",
        remedy="pairs that differ",
        cured=DPO,
    ),
]

SFT_FAULTS = [
    Scenario(
        f"sft-lr-x{factor}",
        _rate(SFT, factor),
        f"learning rate {factor} times too high",
        shows,
        _s("divergence", "gradient-spike"),
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
        _rate(SFT, 10),
        "learning rate 10 times too high",
        "the toy survives: loss 2.6 to 3.3 at step 5, 1.75 as the clean one by step 54; one grad_norm of 10",
        also_true=_s("gradient-spike"),
        clean="sft-clean",
        remedy="learning_rate down",
        cured=SFT,
    ),
    Scenario(
        "sft-lr-zero",
        _rate(SFT, 0),
        "learning rate 0",
        "lr 0, loss flat at 2.6, eval_loss too",
        _s("zero-learning-rate"),
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
        _s("divergence", "gradient-spike"),
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
        _s("non-finite"),
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
        _s("labels-masked"),
        _s("zero-gradient"),
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
        _s("overfitting"),
        clean="sft-clean",
        remedy="more data, fewer epochs",
        cured=SFT,
    ),
]

RLOO_FAULTS = [
    Scenario(
        f"rloo-lr-x{factor}",
        _rate(RLOO, factor),
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
        _rate(RLOO, 10),
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
        _rate(RLOO, 0),
        "learning rate 0",
        "lr 0, reward flat at .55, kl 0, grad_norm .5 to 1",
        _s("zero-learning-rate"),
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
        _s("dead-reward", "zero-advantage"),
        _s("zero-gradient"),
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
        _s("truncation"),
        _s("zero-advantage"),
        abrupt=True,
        clean="rloo-clean",
        remedy="max_completion_length up",
        cured=RLOO,
    ),
]
SCENARIOS: list[Scenario] = [*CLEAN, *GRPO_FAULTS, *GRPO_MORE, *DPO_FAULTS, *SFT_FAULTS, *RLOO_FAULTS]


def by_name(name: str) -> Scenario:
    """The scenario of that name."""
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def same_as(recipe: Recipe) -> Scenario | None:
    """The scenario that trains by that recipe: a remedy often makes a clean run again."""
    return next((scenario for scenario in SCENARIOS if scenario.recipe == recipe), None)
