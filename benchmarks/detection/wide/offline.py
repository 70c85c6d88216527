"""DPO, KTO, ORPO, SFT, reward models: healthy trainings of many kinds, and faults of rate, data, labels."""

from typing import Any

from rule_names import rules

from wide.row import every, ill, well

ADDED: dict[str, Any] = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0]}
DISPLACED = rules("likelihood-displacement", "divergence", "gradient-spike", "margin-collapse")
STUCK = rules("frozen-policy", "no-learning", "zero-gradient")
AT_CHANCE = rules("reward-model-at-chance", "overfitting", "swapped-preferences", "margin-collapse")
DIVERGES = rules("divergence", "gradient-spike", "gradient-creep")

HEALTHY = [
    well("plain", "dpo", "letters"),
    well("plain", "dpo", "sums", config=every(2, 200, beta=0.5)),
    well("plain", "dpo", "tools", "strong", config=every(1, 120, beta=0.5)),
    well("sft-too", "dpo", "tags", rate=4, config=every(1, 150, **ADDED)),
    well("sft-too", "dpo", "tools", "weak", rate=4, config=every(5, 250, **ADDED)),
    well("lora", "dpo", "letters", rate=10, lora=True, config=every(2, 150)),
    well("noisy", "dpo", "letters", "strong", data={"wrong": 0.2}, config=every(5, 250)),
    well("one-epoch", "dpo", "sums", "strong", config=every(10, 300), data={"rows": 4800}),
    well("plain", "kto", "letters"),
    well("plain", "kto", "sums", config=every(2, 200)),
    well("plain", "kto", "tools", "strong", config=every(5, 200)),
    well("noisy", "kto", "letters", "strong", data={"wrong": 0.15}, config=every(1, 120)),
    well("lora", "kto", "letters", "weak", rate=10, lora=True, config=every(1, 150)),
    well("plain", "orpo", "tags"),
    well("plain", "orpo", "letters", config=every(2, 200)),
    well("weak", "orpo", "tools", "weak", config=every(5, 250)),
    well("strong", "orpo", "sums", "strong", config=every(1, 100)),
    well("noisy", "orpo", "tags", "weak", data={"wrong": 0.2}, config=every(10, 300)),
    well("plain", "sft", "tags"),
    well("plain", "sft", "letters", "weak", config=every(2, 200)),
    well("plain", "sft", "sums", "weak", config=every(5, 300)),
    well("plain", "sft", "tools", config=every(10, 400)),
    well("strong", "sft", "letters", "strong", config=every(1, 100)),
    well("noisy", "sft", "tools", "weak", data={"wrong": 0.25}, config=every(1, 200)),
    well("lora", "sft", "tags", "weak", rate=6, lora=True, config=every(2, 200)),
    well("constant-rate", "sft", "letters", config=every(1, 120, lr_scheduler_type="constant")),
    well(
        "resumed",
        "sft",
        "tags",
        breaks=("killed@{half}",),
        resume={},
        config=every(1, 160, save_strategy="steps", save_steps=40),
    ),
    well("plain", "reward", "tags"),
    well("plain", "reward", "letters", config=every(2, 200)),
    well("plain", "reward", "tools", "strong", config=every(5, 250)),
    well("hard", "reward", "sums", config=every(5, 400), data={"rows": 6400}),
    well("noisy", "reward", "letters", "strong", data={"wrong": 0.25}, config=every(1, 150)),
    well("centred", "reward", "tags", config=every(1, 150, center_rewards_coefficient=0.01)),
]

FAST_WHY = (
    "both answers become unlikely, or the loss climbs: what the rate is too high for;"
    " a rate that the training bears is no fault, so held-out accuracy decides"
)
FAST = {
    "sft": DIVERGES,
    "reward": DIVERGES | rules("reward-model-at-chance"),
    **dict.fromkeys(("dpo", "kto", "orpo"), DISPLACED | rules("kl-blowup")),
}
TOO_FAST = [
    ill(
        f"rate-x{factor:g}",
        trainer,
        task,
        skill,
        rate=factor,
        config=every(logging, steps),
        fault=f"learning rate {factor:g} times that of the healthy training",
        why=FAST_WHY,
        ill="stood" if trainer == "reward" else "lost",  # one that is not trained yet can lose nothing
        expected=FAST[trainer],
        also_true=rules("overfitting", "preference-saturated", "entropy-collapse", "entropy-explosion"),
    )
    for trainer, task, skill, factor, logging, steps in (
        ("dpo", "letters", "middle", 5, 1, 150),
        ("dpo", "tags", "middle", 4, 1, 150),
        ("dpo", "tools", "strong", 10, 2, 160),
        ("dpo", "sums", "strong", 20, 1, 120),
        ("dpo", "tags", "strong", 30, 5, 200),
        ("dpo", "letters", "strong", 60, 1, 150),
        ("kto", "letters", "middle", 5, 1, 150),
        ("kto", "tools", "strong", 20, 1, 150),
        ("kto", "tags", "strong", 5, 2, 200),
        ("kto", "sums", "middle", 50, 5, 150),
        ("orpo", "letters", "strong", 10, 1, 150),
        ("orpo", "tags", "middle", 30, 1, 150),
        ("orpo", "tools", "strong", 50, 2, 200),
        ("orpo", "sums", "strong", 100, 5, 200),
        ("sft", "letters", "strong", 10, 1, 150),
        ("sft", "tags", "middle", 30, 1, 150),
        ("sft", "tools", "strong", 30, 2, 200),
        ("sft", "sums", "strong", 60, 5, 200),
        ("sft", "letters", "middle", 100, 1, 120),
        ("reward", "tags", "middle", 30, 1, 150),
        ("reward", "letters", "middle", 100, 2, 200),
        ("reward", "tools", "middle", 10, 1, 150),
    )
]
TOO_SLOW = [
    ill(
        "rate-too-low",
        trainer,
        task,
        rate=0.001,
        config=every(logging, steps),
        fault="learning rate 1,000 times lower than that of the healthy training",
        why="nothing is learned: the loss stands where it began",
        ill="stood",
        expected=STUCK | (rules("reward-model-at-chance") if trainer == "reward" else rules()),
        level="info" if trainer in ("sft", "orpo") else "warning",
    )
    for trainer, task, logging, steps in (
        ("dpo", "tags", 1, 200),
        ("kto", "letters", 2, 250),
        ("orpo", "tools", 1, 250),
        ("sft", "letters", 2, 300),
        ("reward", "tags", 1, 250),
    )
] + [
    ill(
        "detached",
        trainer,
        task,
        lora=True,
        rate=10,
        breaks=("detached",),
        config=every(logging, 150),
        fault="the optimizer holds copies of the adapter's weights",
        why="the policy is never changed",
        expected=STUCK,
        level="info" if trainer == "sft" else "warning",
        also_true=rules("lora-dead"),
    )
    for trainer, task, logging in (("dpo", "sums", 1), ("kto", "tags", 2), ("sft", "tools", 1))
]
SWAPPED = [
    ill(
        "swapped",
        trainer,
        task,
        skill,
        rate=rate,
        data={"swapped": True},
        config=every(logging, steps),
        fault="chosen and rejected are swapped in the train split, not in the eval split",
        why="the train accuracy rises while that of the evaluations falls below a half",
        expected=rules("swapped-preferences"),
        also_true=rules("overfitting", "likelihood-displacement", "divergence", "margin-collapse"),
        onset=0.3,
    )
    for trainer, task, skill, rate, logging, steps in (
        ("dpo", "tags", "middle", 1, 1, 150),
        ("dpo", "letters", "strong", 2, 5, 250),
        ("orpo", "tags", "strong", 1, 1, 150),
        ("orpo", "letters", "middle", 1, 2, 200),
        ("reward", "tags", "middle", 1, 1, 150),
        ("reward", "letters", "middle", 1, 5, 300),
        ("reward", "tools", "middle", 1, 2, 200),
    )
] + [
    ill(
        "swapped",
        "kto",
        "letters",
        "strong",
        rate=2,
        data={"swapped": True},
        config=every(1, 200),
        fault="good answers are labelled bad and bad ones good in the train split",
        why="the evaluations get worse with every step, and KTO logs no accuracies",
        ill="lost",
        expected=rules("swapped-preferences", "overfitting", "likelihood-displacement", "margin-collapse"),
        also_true=rules("kl-blowup", "divergence"),
    )
]
NO_SIGNAL = (
    [
        ill(
            "coin",
            trainer,
            task,
            data={"wrong": 0.5},
            config=every(logging, steps),
            fault="which of both answers is preferred was decided by a coin",
            why="the evaluations stay at chance; what the train split shows is learned by heart",
            expected=AT_CHANCE | STUCK,
            also_true=rules("likelihood-displacement", "divergence"),
        )
        for trainer, task, logging, steps in (
            ("dpo", "letters", 1, 250),
            ("dpo", "sums", 5, 300),
            ("reward", "tags", 1, 250),
            ("reward", "sums", 2, 400),
            ("orpo", "tools", 2, 200),
            ("kto", "tags", 1, 200),
        )
    ]
    + [
        ill(
            "identical",
            trainer,
            task,
            data={"identical": True},
            config=every(logging, 120),
            fault="chosen and rejected are the same text",
            why="there is nothing to tell apart: margin 0, loss ln 2",
            expected=rules("frozen-policy", "zero-gradient", "reward-model-at-chance"),
            also_true=AT_CHANCE,
        )
        for trainer, task, logging in (("dpo", "tools", 1), ("reward", "letters", 1))
    ]
    + [
        ill(
            "trivial",
            trainer,
            task,
            skill,
            rate=3,
            data={"trivial": True, "wrong": 0.0},
            config=every(logging, steps),
            fault="what is rejected is one word again and again",
            why="the pairs are told apart at once, and teach nothing of the task",
            expected=rules("preference-saturated"),
            also_true=rules("likelihood-displacement", "overfitting", "zero-gradient"),
            level="info",
        )
        for trainer, task, skill, logging, steps in (
            ("dpo", "tags", "middle", 1, 150),
            ("dpo", "letters", "weak", 5, 200),
            ("reward", "tools", "middle", 1, 150),
        )
    ]
    + [
        ill(
            f"only-{only}",
            "kto",
            task,
            data={"only": only == "good"},
            config=every(logging, 200),
            rate=3,
            fault=f"all answers are labelled {only}",
            why="KTO has nothing to compare with: the rewards of one side run away",
            expected=rules("likelihood-displacement", "kl-blowup", "margin-collapse", "divergence"),
            also_true=rules("preference-saturated", "overfitting"),
        )
        for only, task, logging in (("bad", "letters", 1), ("good", "tags", 1), ("bad", "tools", 2))
    ]
)
BETA = [
    ill(
        f"beta-{beta:g}",
        trainer,
        task,
        rate=rate,
        config=every(logging, 200, beta=beta),
        fault=fault,
        why=why,
        ill="lost",
        expected=expected,
        also_true=DISPLACED | rules("kl-blowup", "preference-saturated", "overfitting"),
    )
    for trainer, task, rate, beta, logging, fault, why, expected in (
        (
            *("dpo", "tags", 3, 0.003, 1, "beta 100 times too small"),
            "nothing holds the policy at its reference: both answers become unlikely at a small reward",
            rules("likelihood-displacement"),
        ),
        (
            *("dpo", "letters", 6, 0.001, 2, "beta 300 times too small"),
            "nothing holds the policy at its reference: both answers become unlikely at a small reward",
            rules("likelihood-displacement"),
        ),
        (
            *("kto", "letters", 5, 0.002, 1, "beta 100 times too small"),
            "nothing holds the policy at its reference",
            rules("likelihood-displacement", "kl-blowup"),
        ),
        (
            *("dpo", "tools", 3, 50.0, 1, "beta 150 times too large"),
            "each step overshoots: loss and gradient norm are large",
            rules("divergence", "gradient-spike"),
        ),
        (
            *("orpo", "tags", 2, 20.0, 1, "the odds count 200 times too much"),
            "the likelihood of the answer itself does not count any more",
            DISPLACED,
        ),
    )
]
OVERFITTED = [
    ill(
        f"{rows}-rows",
        trainer,
        task,
        skill,
        rate=rate,
        data={"rows": rows},
        config=every(logging, steps),
        fault=f"{rows} rows, again and again",
        why="they are learned by heart: the train loss vanishes, evaluations worsen or answers are lost",
        ill="overfitted",
        expected=rules("overfitting") | (rules("likelihood-displacement") if trainer == "dpo" else rules()),
        also_true=rules("preference-saturated", "divergence", "likelihood-displacement", "zero-gradient"),
    )
    for trainer, task, skill, rate, rows, logging, steps in (
        ("sft", "tags", "middle", 2, 48, 1, 200),
        ("sft", "letters", "weak", 2, 64, 2, 250),
        ("sft", "sums", "middle", 1, 96, 5, 300),
        ("sft", "tools", "weak", 2, 32, 1, 200),
        ("dpo", "tags", "middle", 3, 64, 1, 200),
        ("dpo", "sums", "middle", 4, 48, 2, 250),
        ("orpo", "letters", "middle", 2, 48, 1, 250),
        ("reward", "letters", "middle", 1, 64, 1, 200),
        ("reward", "sums", "middle", 1, 96, 5, 300),
        ("reward", "tools", "middle", 1, 48, 2, 200),
    )
]
TEXTS = [
    ill(
        "masked",
        "sft",
        "letters",
        breaks=("masked_labels",),
        config=every(1, 100),
        fault="every label is masked",
        why="there is nothing to learn from",
        expected=rules("labels-masked"),
        also_true=rules("zero-gradient", "non-finite"),
        abrupt=True,
    ),
    *(
        ill(
            "no-end",
            "sft",
            task,
            skill,
            rate=rate,
            breaks=("masked_eos",),
            config=every(logging, steps),
            fault="the EOS of the answers is no label",
            why="the policy is never told to stop, and forgets it; the series show nothing of it",
            ill="lost",
            expected=rules("eos-never-learned"),
            also_true=DIVERGES,
        )
        for task, skill, rate, logging, steps in (
            ("tags", "strong", 2, 1, 250),
            ("letters", "strong", 6, 2, 300),
        )
    ),
    *(
        ill(
            "wrong-answers",
            "sft",
            task,
            "strong",
            data={"wrong": 0.7},
            rate=2,
            config=every(logging, 200),
            fault="seven answers in ten of the train split are nearly right only",
            why="the policy learns the mistakes: it is due where the evaluations on right answers get worse",
            ill="overfitted",
            expected=rules("overfitting"),
            also_true=rules("divergence"),
        )
        for task, logging in (("letters", 1), ("tags", 2))
    ),
    *(
        ill(
            "other-data",
            "sft",
            task,
            "strong",
            data={"foreign": True, "wrong": 0.0, "rows": 3200},
            rate=1,
            config=every(logging, 200, dataloader_num_workers=0, train_sampling_strategy="sequential"),
            fault="from mid-run on the answers are words at random",
            why="the loss leaps at the change and stays up, and the evaluations with it",
            expected=rules("divergence", "overfitting", "gradient-spike"),
            onset=0.5,
            abrupt=True,
        )
        for task, logging in (("tags", 1), ("letters", 5))
    ),
    ill(
        "spike",
        "sft",
        "tools",
        "strong",
        breaks=("spike@{half},3,100",),
        config=every(1, 160),
        fault="100 times the learning rate for three steps in mid-run",
        why="the loss leaps at the jump and stays up",
        ill="lost",
        expected=DIVERGES,
        also_true=rules("overfitting"),
        onset=0.5,
    ),
    ill(
        "spike",
        "dpo",
        "tags",
        breaks=("spike@{half},3,300",),
        config=every(1, 160),
        fault="300 times the learning rate for three steps in mid-run",
        why="the loss leaps at the jump and the margin is lost",
        ill="lost",
        expected=DISPLACED,
        also_true=rules("overfitting"),
        onset=0.5,
    ),
    ill(
        "resumed-x60",
        "sft",
        "letters",
        "strong",
        breaks=("killed@{half}",),
        resume={"learning_rate": 3e-2},
        config=every(1, 160, save_strategy="steps", save_steps=40, save_only_model=True),
        fault="killed in mid-run, and resumed with 60 times the learning rate and a fresh optimizer",
        why="the resume is what changed just before",
        ill="lost",
        expected=DIVERGES | rules("resume-jump"),
        also_true=rules("overfitting"),
        onset=0.5,
    ),
] + [
    ill(
        "nan",
        trainer,
        "tools",
        breaks=("nan_weights@{half}",),
        config=every(logging, 120),
        fault="one weight becomes NaN in mid-run",
        why="from then on nothing is a number, though the loss is logged as 0",
        expected=rules("non-finite"),
        onset=0.5,
        abrupt=True,
    )
    for trainer, logging in (("dpo", 1), ("sft", 5), ("orpo", 2))
]
ILL = [TOO_FAST, TOO_SLOW, SWAPPED, NO_SIGNAL, BETA, OVERFITTED, TEXTS]
"""By the kind of fault."""
