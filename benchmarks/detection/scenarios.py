"""The table of the detection set: which training, which fault, what its series show, what it is to be called.

The one source of `labels.json`. Invariant: a label says what the series show, not what was meant to be
shown: `shows` was written with the recorded numbers in view, and a fault that the toy survives is labelled as
the healthy run that it is.
"""

from dataclasses import dataclass, replace
from typing import Literal

from recipes import Recipe

__all__ = ["SCENARIOS", "Scenario", "by_name"]

SEEDS = (1, 2)

RUNAWAY = frozenset({"kl-blowup", "reward-collapse", "entropy-collapse", "entropy-explosion"})
"""What a policy that steps too far does: each is a right name for it, the learning rate its first cause."""


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
    onset: Literal["start", "half"] = "start"
    abrupt: bool = True
    clean: str = ""
    """The scenario that differs in the fault alone."""
    remedy: str = ""
    """The first remedy, as the doctor should give it."""
    cured: Recipe | None = None
    """The training with the remedy; often the clean sibling's own recipe."""
    no_remedy: str = ""
    """Why the toy shows none."""
    truth: str | None = None
    """The metric that is the truth behind the reward: `truth_metric`."""
    seldom: bool = True
    """Whether it is also trained with `logging_steps=10`."""

    def onset_step(self, recipe: Recipe) -> int:
        """The first step with the fault in it."""
        return recipe.half if self.onset == "half" else 1


def _s(*names: str) -> frozenset[str]:
    return frozenset(names)


GRPO = Recipe("grpo")
RLOO = Recipe("rloo")
DPO = Recipe("dpo")
SFT = Recipe("sft")
LONG = replace(GRPO, config={"max_steps": 520})
TRUTH = replace(GRPO, rewards=("colours", "correct"), config={"reward_weights": [1.0, 0.0]})
CORRECT = replace(GRPO, rewards=("correct",))
GRPO_LORA = replace(GRPO, lora=True, config={"learning_rate": 2e-2})
DPO_LORA = replace(DPO, lora=True, config={"learning_rate": 2e-3})
RESUMED = replace(
    GRPO,
    config={"save_strategy": "steps", "save_steps": 50, "save_only_model": True},
    sabotage=("killed@{half}",),
    resume={},
)


def _rate(recipe: Recipe, factor: float) -> Recipe:
    rate = recipe.settings["learning_rate"]
    return replace(recipe, config={**recipe.config, "learning_rate": rate * factor})


CLEAN = [
    Scenario("grpo-clean", GRPO, "", ""),
    Scenario("grpo-clean-long", LONG, "", "", seldom=False),
    Scenario("grpo-clean-truth", TRUTH, "", "", truth="rewards/correct/mean"),
    Scenario("grpo-clean-correct", CORRECT, "", ""),
    Scenario("grpo-clean-lora", GRPO_LORA, "", ""),
    Scenario("grpo-clean-resumed", RESUMED, "", ""),
    Scenario("rloo-clean", RLOO, "", ""),
    Scenario("dpo-clean", DPO, "", ""),
    Scenario("dpo-clean-lora", DPO_LORA, "", ""),
    Scenario("sft-clean", SFT, "", ""),
]

GRPO_FAULTS = [
    Scenario(
        f"grpo-lr-x{factor}",
        _rate(GRPO, factor),
        f"learning rate {factor} times too high",
        "",
        RUNAWAY,
        clean="grpo-clean",
        remedy="learning_rate down",
        cured=GRPO,
    )
    for factor in (100, 1000)
] + [
    Scenario(
        "grpo-lr-x10",
        _rate(GRPO, 10),
        "learning rate 10 times too high",
        "",
        also_true=RUNAWAY | {"gradient-spike"},
        clean="grpo-clean",
        remedy="learning_rate down",
        cured=GRPO,
    ),
    Scenario(
        "grpo-lr-zero",
        _rate(GRPO, 0),
        "learning rate 0",
        "",
        _s("zero-learning-rate"),
        clean="grpo-clean",
        remedy="a learning rate",
        cured=GRPO,
    ),
    Scenario(
        "grpo-lr-spike",
        replace(GRPO, sabotage=("spike@{half},3,200",)),
        "200 times the learning rate for three steps in mid-run",
        "",
        RUNAWAY,
        onset="half",
        clean="grpo-clean",
        remedy="a smooth schedule",
        cured=GRPO,
    ),
    Scenario(
        "grpo-reward-constant",
        replace(GRPO, rewards=("constant",)),
        "the reward is 0 for every completion",
        "",
        _s("dead-reward", "zero-advantage"),
        clean="grpo-clean",
        remedy="run the reward function on gold answers, and repair it",
        cured=GRPO,
    ),
    Scenario(
        "grpo-reward-length",
        replace(GRPO, rewards=("length",)),
        "the reward is the length",
        "",
        _s("truncation", "length-runaway", "reward-length-correlation"),
        abrupt=False,
        clean="grpo-clean",
        remedy="get_soft_overlong_punishment beside it",
        cured=replace(GRPO, rewards=("length", "overlong@40")),
    ),
    Scenario(
        "grpo-reward-hacked",
        replace(TRUTH, rewards=("colour_count", "correct")),
        "the reward counts colours wherever they stand; whether the sentence is right is recorded, weight 0",
        "",
        _s("proxy-divergence"),
        _s("truncation", "length-runaway", "kl-blowup"),
        abrupt=False,
        clean="grpo-clean-truth",
        truth="rewards/correct/mean",
        remedy="let the truth count: reward_weights",
        cured=replace(TRUTH, rewards=("colour_count", "correct"), config={"reward_weights": [1.0, 1.0]}),
    ),
    Scenario(
        "grpo-reward-switched",
        replace(GRPO, rewards=("switched@{half}",)),
        "from mid-run on the reward is turned round",
        "",
        _s("reward-collapse"),
        onset="half",
        clean="grpo-clean",
        remedy="the reward as it was",
        cured=GRPO,
    ),
    Scenario(
        "grpo-cap",
        replace(GRPO, config={"max_completion_length": 4}),
        "completions are cut after 4 tokens; whole ones have 9",
        "",
        _s("truncation"),
        _s("zero-advantage"),
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
        "",
        _s("truncation"),
        _s("dead-reward", "zero-advantage", "zero-gradient"),
        clean="grpo-clean-correct",
        remedy="max_completion_length up",
        cured=CORRECT,
    ),
    Scenario(
        "grpo-reward-noise",
        replace(LONG, rewards=("noise",)),
        "the reward is a random number",
        "",
        _s("no-learning"),
        level="info",
        abrupt=False,
        clean="grpo-clean-long",
        remedy="a reward that depends on the completion",
        cured=LONG,
        seldom=False,
    ),
    Scenario(
        "grpo-reward-saturating",
        replace(GRPO, rewards=("any_colour",)),
        "one colour anywhere earns the whole reward",
        "",
        abrupt=False,
        clean="grpo-clean",
    ),
    Scenario(
        "grpo-reward-none",
        replace(GRPO, rewards=("none_batches@3",)),
        "in every third step the reward function returns None for all",
        "",
        _s("missing-rewards"),
        clean="grpo-clean",
        remedy="let another reward cover the row",
        cured=replace(GRPO, rewards=("none_batches@3", "correct")),
    ),
    Scenario(
        "grpo-reward-inf",
        replace(GRPO, rewards=("infinite@4",)),
        "in every fourth step one reward is +inf",
        "",
        _s("non-finite"),
        clean="grpo-clean",
        remedy="a finite reward",
        cured=GRPO,
    ),
    Scenario(
        "grpo-beta-tiny",
        replace(GRPO, config={"beta": 1e-5}),
        "beta 10,000 times too small",
        "",
        clean="grpo-clean",
    ),
    Scenario(
        "grpo-beta-huge",
        replace(GRPO, config={"beta": 100.0}),
        "beta 1,000 times too big",
        "",
        clean="grpo-clean",
    ),
    Scenario(
        "grpo-wrong-eos",
        replace(GRPO, eos="<end>"),
        "model and tokenizer are told an EOS that the model never writes",
        "",
        _s("truncation", "eos-mismatch"),
        _s("zero-advantage"),
        clean="grpo-clean",
        remedy="the EOS that the model writes",
        cured=GRPO,
    ),
    Scenario(
        "grpo-frozen",
        replace(GRPO_LORA, sabotage=("detached",)),
        "the optimizer holds copies of the adapter's weights",
        "",
        _s("frozen-policy"),
        clean="grpo-clean-lora",
        remedy="build the optimizer after the adapter",
        cured=GRPO_LORA,
    ),
    Scenario(
        "grpo-cold",
        replace(GRPO, config={"temperature": 0.1}),
        "sampling temperature 0.1",
        "",
        _s("zero-advantage"),
        clean="grpo-clean",
        remedy="temperature=1.0",
        cured=GRPO,
    ),
    Scenario(
        "grpo-hot",
        replace(GRPO, config={"temperature": 3.0}),
        "sampling temperature 3",
        "",
        clean="grpo-clean",
        remedy="temperature=1.0",
        cured=GRPO,
    ),
    Scenario(
        "grpo-resume-lr",
        replace(RESUMED, resume={"learning_rate": 2e-2}),
        "killed, and resumed with 40 times the learning rate",
        "",
        _s("resume-jump"),
        RUNAWAY,
        onset="half",
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
        "",
        _s("divergence", "gradient-spike", "likelihood-displacement", "margin-collapse"),
        clean="dpo-clean",
        remedy="learning_rate down",
        cured=DPO,
    )
    for factor in (100, 1000)
] + [
    Scenario(
        "dpo-lr-x10",
        _rate(DPO, 10),
        "learning rate 10 times too high",
        "",
        also_true=_s("gradient-spike", "likelihood-displacement"),
        clean="dpo-clean",
        remedy="learning_rate down",
        cured=DPO,
    ),
    Scenario(
        "dpo-lr-zero",
        _rate(DPO, 0),
        "learning rate 0",
        "",
        _s("zero-learning-rate"),
        clean="dpo-clean",
        remedy="a learning rate",
        cured=DPO,
    ),
    Scenario(
        "dpo-lr-spike",
        replace(DPO, sabotage=("spike@{half},3,200",)),
        "200 times the learning rate for three steps in mid-run",
        "",
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
        "",
        _s("non-finite"),
        onset="half",
        clean="dpo-clean",
        no_remedy="no option takes a NaN out of the weights; what led to it was put in by hand",
    ),
    Scenario(
        "dpo-swapped",
        replace(DPO, data={"swapped": True}),
        "chosen and rejected are swapped in the train split, not in the eval split",
        "",
        _s("swapped-preferences"),
        clean="dpo-clean",
        remedy="swap the columns",
        cured=DPO,
    ),
    Scenario(
        "dpo-beta-tiny",
        replace(DPO, config={"beta": 1e-4}),
        "beta 1,000 times too small",
        "",
        clean="dpo-clean",
    ),
    Scenario(
        "dpo-beta-huge",
        replace(DPO, config={"beta": 100.0}),
        "beta 1,000 times too big",
        "",
        clean="dpo-clean",
    ),
    Scenario(
        "dpo-frozen",
        replace(DPO_LORA, sabotage=("half_adapter",)),
        "half of the adapter is not trainable: lora_B stays 0",
        "",
        _s("frozen-policy"),
        _s("zero-gradient"),
        clean="dpo-clean-lora",
        remedy="print_trainable_parameters, and make both halves trainable",
        cured=DPO_LORA,
    ),
    Scenario(
        "dpo-detached",
        replace(DPO_LORA, sabotage=("detached",)),
        "the optimizer holds copies of the adapter's weights",
        "",
        _s("frozen-policy"),
        clean="dpo-clean-lora",
        remedy="build the optimizer after the adapter",
        cured=DPO_LORA,
    ),
    Scenario(
        "dpo-identical",
        replace(DPO, data={"identical": True}),
        "chosen and rejected are the same text in the train split",
        "",
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
        "",
        _s("divergence", "gradient-spike"),
        clean="sft-clean",
        remedy="learning_rate down",
        cured=SFT,
    )
    for factor in (100, 1000)
] + [
    Scenario(
        "sft-lr-x10",
        _rate(SFT, 10),
        "learning rate 10 times too high",
        "",
        also_true=_s("gradient-spike"),
        clean="sft-clean",
        remedy="learning_rate down",
        cured=SFT,
    ),
    Scenario(
        "sft-lr-zero",
        _rate(SFT, 0),
        "learning rate 0",
        "",
        _s("zero-learning-rate"),
        clean="sft-clean",
        remedy="a learning rate",
        cured=SFT,
    ),
    Scenario(
        "sft-lr-spike",
        replace(SFT, sabotage=("spike@{half},3,200",)),
        "200 times the learning rate for three steps in mid-run",
        "",
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
        "",
        _s("non-finite"),
        onset="half",
        clean="sft-clean",
        no_remedy="no option takes a NaN out of the weights; what led to it was put in by hand",
    ),
    Scenario(
        "sft-masked",
        replace(SFT, sabotage=("masked_labels",)),
        "every label is -100",
        "",
        _s("labels-masked"),
        clean="sft-clean",
        remedy="labels on the answer: max_length up, or the right response template",
        cured=SFT,
    ),
    Scenario(
        "sft-overfit",
        replace(SFT, data={"rows": 48}),
        "48 rows, 50 times over",
        "",
        _s("overfitting"),
        abrupt=False,
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
        "",
        RUNAWAY,
        clean="rloo-clean",
        remedy="learning_rate down",
        cured=RLOO,
    )
    for factor in (100, 1000)
] + [
    Scenario(
        "rloo-lr-x10",
        _rate(RLOO, 10),
        "learning rate 10 times too high",
        "",
        also_true=RUNAWAY | {"gradient-spike"},
        clean="rloo-clean",
        remedy="learning_rate down",
        cured=RLOO,
    ),
    Scenario(
        "rloo-lr-zero",
        _rate(RLOO, 0),
        "learning rate 0",
        "",
        _s("zero-learning-rate"),
        clean="rloo-clean",
        remedy="a learning rate",
        cured=RLOO,
    ),
    Scenario(
        "rloo-lr-spike",
        replace(RLOO, sabotage=("spike@{half},3,200",)),
        "200 times the learning rate for three steps in mid-run",
        "",
        RUNAWAY,
        onset="half",
        clean="rloo-clean",
        remedy="a smooth schedule",
        cured=RLOO,
    ),
    Scenario(
        "rloo-reward-constant",
        replace(RLOO, rewards=("constant",)),
        "the reward is 0 for every completion",
        "",
        _s("dead-reward", "zero-advantage"),
        clean="rloo-clean",
        remedy="run the reward function on gold answers, and repair it",
        cured=RLOO,
    ),
    Scenario(
        "rloo-cap",
        replace(RLOO, config={"max_completion_length": 4}),
        "completions are cut after 4 tokens; whole ones have 9",
        "",
        _s("truncation"),
        _s("zero-advantage"),
        clean="rloo-clean",
        remedy="max_completion_length up",
        cured=RLOO,
    ),
]
SCENARIOS: list[Scenario] = [*CLEAN, *GRPO_FAULTS, *GRPO_MORE, *DPO_FAULTS, *SFT_FAULTS, *RLOO_FAULTS]


def by_name(name: str) -> Scenario:
    """The scenario of that name."""
    return next(scenario for scenario in SCENARIOS if scenario.name == name)
