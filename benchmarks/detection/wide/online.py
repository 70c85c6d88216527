"""GRPO, RLOO, online DPO: healthy trainings of many kinds, and faults of the optimization."""

from rule_names import AFTERMATH, RUNAWAY, rules

from wide.row import every, ill, well

SAVED = {"save_strategy": "steps", "save_steps": 25}
IN_ORDER = {"shuffle_dataset": False}


HEALTHY = [
    well("plain", "grpo", "sums"),
    well("plain", "grpo", "letters", config=every(2, 200)),
    well("form", "grpo", "tags", rewards=("form", "exact"), config=every(1, 150, reward_weights=[0.2, 1.0])),
    well("minus-10-to-0", "grpo", "tools", rewards=("scaled@exact,-10,0",), config=every(5, 250)),
    well("0-to-100", "grpo", "letters", "weak", rewards=("scaled@share,0,100",), config=every(1, 250)),
    well("minus-1-to-1", "grpo", "tags", "weak", rewards=("scaled@exact,-1,1",), config=every(3, 240)),
    well("thousandth", "grpo", "sums", rewards=("scaled@exact,0,0.001",), config=every(2, 160)),
    well("sparse", "grpo", "sums", "weak", config=every(5, 300)),
    well("sparse", "grpo", "tools", "weak", config=every(10, 400)),
    well("ceiling", "grpo", "letters", "strong", config=every(10, 400)),
    well("ceiling", "grpo", "tags", "strong", rewards=("form", "answered"), config=every(1, 200)),
    well("strong", "grpo", "tools", "strong", config=every(3, 180)),
    well("strong", "grpo", "sums", "strong", config=every(1, 120)),
    well("share", "grpo", "sums", "weak", rewards=("share",), config=every(5, 300)),
    well("three", "grpo", "tools", "weak", rewards=("called", "said", "exact"), config=every(2, 200)),
    well("three", "grpo", "tags", "weak", rewards=("form", "answered", "share"), config=every(10, 300)),
    well("noisy", "grpo", "letters", rewards=("noisy@exact,0.3",), config=every(1, 200)),
    well("flipped", "grpo", "tags", rewards=("flipped@exact,0.1",), config=every(4, 200)),
    well(
        "curriculum",
        "grpo",
        "letters",
        data={"levels": ("3", "4", "5", "6"), "rows": 960},
        config=every(2, 240, **IN_ORDER),
    ),
    well(
        "curriculum",
        "grpo",
        "tools",
        data={"levels": ("1", "2"), "rows": 800},
        config=every(5, 200, **IN_ORDER),
    ),
    well("lora", "grpo", "letters", rate=8, lora=True, config=every(1, 150)),
    well("lora", "grpo", "tags", rate=8, lora=True, config=every(5, 200)),
    well("two-updates", "grpo", "sums", config=every(1, 160, num_iterations=2)),
    well("accumulated", "grpo", "tags", config=every(1, 80, gradient_accumulation_steps=2)),
    well("dr-grpo", "grpo", "tools", config=every(2, 160, loss_type="dr_grpo", scale_rewards="none")),
    well("no-kl", "grpo", "letters", rate=0.5, config=every(1, 150, beta=0.0)),
    well("no-kl", "grpo", "sums", rate=0.5, config=every(4, 200, beta=0.0)),
    well("short", "grpo", "tools", config=every(1, 60)),
    well("long", "grpo", "tags", rate=0.5, config=every(20, 500)),
    well("one-group", "grpo", "letters", rate=0.5, config=every(1, 200, per_device_train_batch_size=8)),
    well(
        "one-group", "grpo", "tags", "strong", rate=0.5, config=every(1, 150, per_device_train_batch_size=8)
    ),
    well("groups-of-4", "grpo", "sums", config=every(2, 200, num_generations=4)),
    well(
        "brevity",
        "grpo",
        "tags",
        rewards=("exact", "brevity"),
        config=every(1, 150, reward_weights=[1.0, 0.1]),
    ),
    well("resumed", "grpo", "sums", breaks=("killed@{half}",), resume={}, config=every(1, 150, **SAVED)),
    well("resumed", "grpo", "tools", breaks=("killed@{half}",), resume={}, config=every(5, 200, **SAVED)),
    well("constant-rate", "grpo", "letters", rate=0.5, config=every(1, 150, lr_scheduler_type="constant")),
    well("cosine", "grpo", "tools", config=every(2, 150, lr_scheduler_type="cosine", warmup_steps=20)),
    well("evaluated", "grpo", "tags", config=every(2, 160, eval_strategy="steps", eval_steps=20)),
    well("plain", "rloo", "letters"),
    well("plain", "rloo", "sums", config=every(5, 250)),
    well("0-to-100", "rloo", "tags", rewards=("scaled@share,0,100",), config=every(1, 150, beta=0.002)),
    well("minus", "rloo", "tools", rewards=("scaled@exact,-2,-1",), config=every(2, 200)),
    well("strong", "rloo", "letters", "strong", config=every(10, 300)),
    well("weak", "rloo", "sums", "weak", rewards=("share", "exact"), config=every(1, 200)),
    well("noisy", "rloo", "tools", rewards=("noisy@share,0.2",), config=every(5, 200)),
    well("lora", "rloo", "tags", rate=8, lora=True, config=every(1, 120)),
    well("plain", "online_dpo", "tags"),
    well("share", "online_dpo", "letters", rewards=("share",), config=every(2, 160)),
    well("0-to-100", "online_dpo", "tools", rewards=("scaled@share,0,100",), config=every(5, 150)),
    well("plain", "online_dpo", "sums", "strong", config=every(1, 100)),
]

FAST_WHY = (
    "the first cause of a collapse is the rate; which of its ends shows first differs (KL, entropy, reward);"
    " a rate that the training bears is no fault, so held-out accuracy decides"
)
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
        ill="lost",
        expected=RUNAWAY | (AFTERMATH if logging >= 5 else rules()),
        also_true=AFTERMATH,
    )
    for trainer, task, skill, factor, logging, steps in (
        ("grpo", "letters", "middle", 3, 1, 150),
        ("grpo", "tags", "middle", 10, 1, 150),
        ("grpo", "sums", "middle", 3, 2, 200),
        ("grpo", "tools", "middle", 10, 2, 160),
        ("grpo", "letters", "strong", 10, 1, 150),
        ("grpo", "tags", "weak", 30, 5, 200),
        ("grpo", "sums", "strong", 10, 1, 120),
        ("grpo", "tools", "strong", 3, 1, 150),
        ("grpo", "letters", "weak", 30, 1, 120),
        ("grpo", "tags", "strong", 3, 5, 250),
        ("grpo", "sums", "weak", 30, 10, 300),
        ("grpo", "tools", "weak", 5, 5, 200),
        ("rloo", "letters", "middle", 10, 1, 150),
        ("rloo", "tags", "middle", 3, 2, 200),
        ("rloo", "tools", "strong", 10, 5, 200),
        ("rloo", "sums", "middle", 30, 1, 120),
        ("online_dpo", "tags", "middle", 10, 1, 100),
        ("online_dpo", "letters", "middle", 30, 1, 100),
        ("online_dpo", "tools", "strong", 5, 2, 120),
    )
]
NO_KL = [
    ill(
        f"no-kl-rate-x{factor:g}",
        "grpo",
        task,
        rate=factor,
        config=every(logging, 180, beta=0.0),
        fault=f"no KL term, and a learning rate {factor:g} times that of the healthy training",
        why=FAST_WHY,
        ill="lost",
        expected=RUNAWAY | (AFTERMATH if logging >= 5 else rules()),
        also_true=AFTERMATH,
    )
    for task, factor, logging in (("sums", 5, 1), ("letters", 10, 5), ("tags", 5, 2), ("tools", 10, 1))
]
NO_WARMUP = [
    ill(
        "no-warmup",
        "grpo",
        "letters",
        rate=8,
        config=every(1, 150, warmup_steps=0),
        fault="no warm-up, and a learning rate 8 times that of the healthy training",
        why=FAST_WHY,
        ill="lost",
        expected=RUNAWAY,
        also_true=AFTERMATH,
    ),
    ill(
        "many-updates",
        "grpo",
        "tags",
        rate=3,
        config=every(1, 240, num_iterations=8, epsilon=5.0, beta=0.0),
        fault="8 updates a batch, hardly clipped, at 3 times the learning rate",
        why="the updates leave the trust region: off-policy, and where that ends",
        ill="lost",
        expected=RUNAWAY | rules("off-policy"),
        also_true=AFTERMATH,
    ),
    ill(
        "many-updates",
        "grpo",
        "sums",
        rate=2,
        config=every(1, 240, num_iterations=6, epsilon=2.0, beta=0.0),
        fault="6 updates a batch, hardly clipped, at twice the learning rate",
        why="the updates leave the trust region: off-policy, and where that ends",
        ill="lost",
        expected=RUNAWAY | rules("off-policy"),
        also_true=AFTERMATH,
    ),
]
SPIKES = [
    ill(
        f"spike-x{factor}",
        trainer,
        task,
        breaks=(f"spike@{{half}},3,{factor}",),
        config=every(logging, 160),
        fault=f"{factor} times the learning rate for three steps in mid-run",
        why="what the policy knew is gone at the jump; gradient, KL, entropy or reward of those steps tell",
        ill="lost",
        expected=RUNAWAY | rules("gradient-spike"),
        also_true=AFTERMATH,
        onset=0.5,
    )
    for trainer, task, factor, logging in (
        ("grpo", "letters", 20, 1),
        ("grpo", "tools", 60, 2),
        ("rloo", "sums", 40, 1),
    )
]
TOO_SLOW = [
    ill(
        "rate-too-low",
        trainer,
        task,
        rate=0.002,
        config=every(logging, steps),
        fault="learning rate 500 times lower than that of the healthy training",
        why="nothing is learned; rldk knows that as information only",
        ill="stood",
        expected=rules("no-learning", "frozen-policy"),
        level="info",
    )
    for trainer, task, logging, steps in (
        ("grpo", "letters", 2, 500),
        ("grpo", "tags", 1, 300),
        ("rloo", "tools", 2, 400),
    )
] + [
    ill(
        "lora-rate-too-low",
        "grpo",
        "letters",
        lora=True,
        config=every(2, 300, learning_rate=1e-6),
        fault="an adapter at a learning rate meant for all weights",
        why="an adapter needs ten times the rate: nothing is learned",
        ill="stood",
        expected=rules("low-lora-rate", "no-learning", "frozen-policy"),
        level="info",
    ),
    ill(
        "rate-zero",
        "grpo",
        "tools",
        config=every(2, 120, learning_rate=0.0),
        fault="learning rate 0",
        why="the schedule gives no rate",
        expected=rules("zero-learning-rate"),
        also_true=rules("frozen-policy", "no-learning"),
        abrupt=True,
    ),
    ill(
        "beta-too-high",
        "grpo",
        "tags",
        config=every(1, 300, beta=20.0),
        fault="a KL coefficient 1,000 times too high",
        why="the policy is held at its reference and learns nothing, or shakes around it",
        ill="stood",
        expected=rules("no-learning", "frozen-policy", "gradient-spike", "kl-blowup"),
        level="info",
    ),
    ill(
        "only-norm",
        "grpo",
        "sums",
        "weak",
        breaks=("only_norm",),
        config=every(1, 300),
        fault="nothing is trainable but the last norm",
        why="64 weights cannot learn the task; frozen for all that matters",
        ill="stood",
        expected=rules("no-learning", "frozen-policy"),
        level="info",
    ),
    ill(
        "detached",
        "grpo",
        "sums",
        lora=True,
        rate=8,
        breaks=("detached",),
        config=every(1, 150),
        fault="the optimizer holds copies of the adapter's weights",
        why="the policy is never changed: KL exactly 0 with a gradient",
        expected=rules("frozen-policy"),
        also_true=rules("no-learning"),
    ),
    ill(
        "detached",
        "rloo",
        "letters",
        lora=True,
        rate=8,
        breaks=("detached",),
        config=every(2, 150),
        fault="the optimizer holds copies of the adapter's weights",
        why="the policy is never changed: KL exactly 0 with a gradient",
        expected=rules("frozen-policy"),
        also_true=rules("no-learning"),
    ),
]
RESUMED = [
    ill(
        f"resumed-x{factor}",
        trainer,
        task,
        breaks=("killed@{half}",),
        resume={"learning_rate": 3e-4 * factor},
        config=every(logging, 160, save_strategy="steps", save_steps=40, save_only_model=True),
        fault=f"killed in mid-run, and resumed with {factor} times the learning rate and a fresh optimizer",
        why="the resume is what changed just before",
        ill="lost",
        expected=RUNAWAY | rules("resume-jump"),
        also_true=AFTERMATH,
        onset=0.5,
    )
    for trainer, task, factor, logging in (
        ("grpo", "letters", 30, 1),
        ("grpo", "tags", 10, 2),
        ("rloo", "sums", 30, 1),
    )
]
BROKEN = [
    ill(
        "nan",
        "grpo",
        "tags",
        breaks=("nan_weights@{half}",),
        config=every(1, 120),
        fault="one weight becomes NaN in mid-run",
        why="the next generation raises, after a last record that is healthy",
        expected=rules("crash"),
        also_true=rules("non-finite"),
        onset=0.5,
        abrupt=True,
    ),
]
ILL = [TOO_FAST, NO_KL, NO_WARMUP, SPIKES, TOO_SLOW, RESUMED, BROKEN]
"""By the kind of fault."""
