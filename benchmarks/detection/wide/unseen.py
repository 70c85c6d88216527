"""Rows that were added to check rules on: written, and labelled, before any of those rules had seen them.

Invariant: other seeds, sizes and strengths than the rows before; a row is never changed after its verdict.
"""

from rule_names import AFTERMATH, RUNAWAY, rules

from wide.offline import AT_CHANCE, FAST, FAST_WHY, STUCK
from wide.online import IN_ORDER
from wide.reward_faults import CUT, DEAD, HACKED, LOSES
from wide.row import Row, every, ill, well

HEALTHY = [
    well("other", "dpo", "letters", "strong", seed=5, config=every(2, 200, beta=0.2)),
    well("other", "kto", "tags", seed=6, config=every(2, 200)),
    well("other", "orpo", "sums", seed=7, data={"wrong": 0.1}, config=every(2, 220)),
    well("other", "reward", "tools", "weak", seed=8, data={"wrong": 0.15}, config=every(2, 240)),
    well("other", "sft", "tools", "strong", rate=0.5, seed=9, config=every(2, 160)),
    well(
        "curriculum",
        "grpo",
        "sums",
        seed=10,
        data={"levels": ("one digit", "two digits"), "rows": 960},
        config=every(2, 240, **IN_ORDER),
    ),
    well("other", "rloo", "tools", rewards=("called", "exact"), seed=11, config=every(1, 150)),
    well("other", "online_dpo", "sums", seed=12, config=every(2, 140)),
]


def _fast(trainer: str, task: str, skill: str, factor: float, seed: int, steps: int) -> Row:
    return ill(
        f"rate-x{factor:g}",
        trainer,  # type: ignore[arg-type]
        task,
        skill,  # type: ignore[arg-type]
        rate=factor,
        seed=seed,
        config=every(2, steps),
        fault=f"learning rate {factor:g} times that of the healthy training",
        why=FAST_WHY,
        ill="stood" if trainer == "reward" else "lost",
        expected=FAST[trainer],
        also_true=rules("overfitting", "preference-saturated", "entropy-collapse", "entropy-explosion"),
    )


PAIRS = [
    _fast("dpo", "sums", "middle", 15, 15, 160),
    _fast("kto", "letters", "strong", 25, 16, 160),
    _fast("reward", "sums", "middle", 60, 20, 160),
    *(
        ill(
            "coin",
            trainer,
            "letters",
            seed=seed,
            data={"wrong": 0.5},
            config=every(logging, steps),
            fault="which of both answers is preferred was decided by a coin",
            why="the evaluations stay at chance; what the train split shows is learned by heart",
            expected=AT_CHANCE | STUCK,
            also_true=rules("likelihood-displacement", "divergence"),
        )
        for trainer, seed, logging, steps in (("kto", 17, 2, 240), ("orpo", 18, 1, 160))
    ),
    ill(
        "rate-too-low",
        "sft",
        "tags",
        seed=19,
        rate=0.001,
        config=every(1, 160),
        fault="learning rate 1,000 times lower than that of the healthy training",
        why="nothing is learned: the loss stands where it began",
        ill="stood",
        expected=STUCK,
        level="info",
    ),
    ill(
        "identical",
        "reward",
        "tags",
        seed=21,
        data={"identical": True},
        config=every(2, 160),
        fault="chosen and rejected are the same text",
        why="there is nothing to tell apart: margin 0, loss ln 2",
        expected=rules("frozen-policy", "zero-gradient", "reward-model-at-chance"),
        also_true=AT_CHANCE,
    ),
]
REWARDS = [
    ill(
        "wrong-sign",
        "rloo",
        "sums",
        seed=22,
        rewards=("exact", "scaled@share,1.5,0"),
        config=every(2, 200, beta=0.0, reward_weights=[1, 1]),
        fault="the second function has the wrong sign, and is half as large again",
        why="the reward rises by what is not the task; the recorded function `exact` is the task",
        ill="lost",
        expected=HACKED,
        also_true=CUT | RUNAWAY | rules("length-collapse", "repetition", "dead-reward-component"),
        truth="rewards/exact/mean",
    ),
    *(
        ill(
            name,
            trainer,
            task,
            seed=seed,
            rewards=(reward,),
            config=every(logging, steps),
            fault=f"from mid-run on the reward {fault}",
            why=why,
            expected=expected,
            also_true=RUNAWAY | AFTERMATH | DEAD | rules("no-learning", "dead-reward-component"),
            level=level,
            onset=0.5,
            abrupt=True,
        )
        for name, trainer, task, seed, reward, logging, steps, fault, why, expected, level in (
            (
                *("lenient", "rloo", "tools", 23, "lenient@exact", 4, 240, "function gives 1 to everything"),
                *("no group has a spread any more", DEAD | rules("no-learning"), "info"),
            ),
            (
                *("turned", "grpo", "letters", 24, "turned@exact", 2, 200, "is turned round"),
                *("the reward falls at once; what was learned is unlearned", LOSES, "warning"),
            ),
        )
    ),
    ill(
        "wrong-end",
        "grpo",
        "sums",
        seed=25,
        eos="<end>",
        config=every(2, 160),
        fault="tokenizer and model have another end token than the policy writes",
        why="what the policy ends with stays in the text, so that no answer is ever right",
        expected=DEAD,
        also_true=RUNAWAY | rules("truncation", "eos-mismatch", "no-learning"),
        abrupt=True,
    ),
    ill(
        "limit-5",
        "rloo",
        "letters",
        seed=26,
        config=every(5, 200, max_completion_length=5),
        fault="answers of 5 and 6 letters, half of all, are cut",
        why="answers that need more tokens cannot be right, whatever is learned",
        expected=rules("truncation"),
        also_true=DEAD | RUNAWAY | CUT,
        abrupt=True,
    ),
]
ROWS = [*HEALTHY, *PAIRS, *REWARDS]
"""In the order of training."""
