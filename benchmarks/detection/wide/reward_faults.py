"""GRPO, RLOO, online DPO: faults of rewards, prompts and sampling."""

from typing import Any

from rule_names import AFTERMATH, RUNAWAY, rules

from wide.online import IN_ORDER
from wide.row import every, ill

CUT = rules("truncation", "length-runaway", "reward-length-correlation")
DEAD = rules("dead-reward", "zero-advantage", "zero-gradient")
LOSES = rules("reward-collapse")
HACKED = rules("proxy-divergence")
WITH_TRUTH: dict[str, Any] = {"truth": "rewards/exact/mean"}

HACKS = [
    ill(
        name,
        trainer,
        task,
        rate=rate,
        rewards=rewards,
        config=every(logging, steps, beta=0.0, reward_weights=weights),
        fault=fault,
        why="the reward rises by what is not the task; the recorded function `exact` is the task",
        ill="lost",
        expected=HACKED | more,
        also_true=CUT | RUNAWAY | rules("length-collapse", "repetition", "dead-reward-component"),
        **WITH_TRUTH,
    )
    for name, trainer, task, rate, rewards, weights, logging, steps, more, fault in (
        (
            "length-paid",
            "grpo",
            "tags",
            2,
            ("exact", "length"),
            [1, 3],
            1,
            200,
            CUT,
            "length is paid 3 times",
        ),
        (
            "length-only",
            "grpo",
            "letters",
            1,
            ("length", "exact"),
            [1, 0],
            2,
            200,
            CUT,
            "only length is paid",
        ),
        ("length-too", "rloo", "sums", 2, ("exact", "length"), [1, 2], 1, 200, CUT, "length is paid twice"),
        ("marks-paid", "grpo", "tools", 2, ("exact", "marks"), [1, 4], 2, 240, CUT, "each mark is paid"),
        ("marks-only", "grpo", "tags", 1, ("marks", "exact"), [1, 0], 1, 200, CUT, "only marks are paid"),
        ("digits-paid", "rloo", "tools", 1, ("digits", "exact"), [1, 0], 5, 250, CUT, "only digits are paid"),
        (
            *("form-only", "grpo", "tags", 3, ("form", "exact"), [1, 0], 1, 300, rules()),
            "only the form is paid",
        ),
        (
            *("as-long-only", "grpo", "letters", 2, ("as_long", "exact"), [1, 0], 2, 300, rules()),
            "only the number of letters is paid",
        ),
        (
            *("ones-only", "grpo", "sums", 2, ("ones", "exact"), [1, 0], 1, 250, CUT),
            "only the first digit is paid",
        ),
        (
            *("brevity-paid", "grpo", "tools", 2, ("exact", "brevity"), [1, 4], 1, 200),
            rules("length-collapse"),
            "brevity is paid 4 times",
        ),
        (
            *("brevity-only", "grpo", "sums", 1, ("brevity", "exact"), [1, 0], 5, 200),
            rules("length-collapse"),
            "only brevity is paid",
        ),
        (
            *("called-only", "grpo", "tools", 2, ("called", "exact"), [1, 0], 2, 240, CUT),
            "only the first call is paid",
        ),
        (
            *("wrong-sign", "grpo", "letters", 1, ("scaled@share,1,0", "exact"), [1, 0], 1, 200, rules()),
            "the reward has the wrong sign",
        ),
        (
            *("wrong-sign", "grpo", "sums", 1, ("exact", "scaled@share,2,0"), [1, 1], 2, 200, rules()),
            "the second function has the wrong sign, and is twice as large",
        ),
        (
            *("wrong-sign", "rloo", "tags", 1, ("exact", "scaled@exact,1,-1"), [1, 1], 5, 250, rules()),
            "the second function has the wrong sign, and is twice as large",
        ),
    )
]
NO_SIGNAL = [
    ill(
        name,
        trainer,
        task,
        skill,
        rewards=rewards,
        config=every(logging, steps),
        fault=fault,
        why="every completion of a prompt scores the same, which teaches nothing",
        expected=DEAD,
        also_true=rules("dead-reward-component", "no-learning", "frozen-policy"),
        abrupt=True,
    )
    for name, trainer, task, skill, rewards, logging, steps, fault in (
        ("constant", "grpo", "tags", "middle", ("constant@exact",), 1, 100, "the reward is always 0.25"),
        ("constant", "rloo", "sums", "middle", ("constant@exact",), 5, 200, "the reward is always 0.25"),
        ("never", "grpo", "tools", "middle", ("never",), 10, 250, "the parser never matches: always 0"),
        (
            "never",
            "grpo",
            "letters",
            "middle",
            ("never", "constant@exact"),
            1,
            80,
            "two functions, each constant",
        ),
        ("never", "rloo", "tags", "middle", ("never",), 2, 120, "the parser never matches: always 0"),
        (
            "never",
            "online_dpo",
            "letters",
            "middle",
            ("never",),
            1,
            100,
            "the parser never matches: always 0",
        ),
    )
] + [
    ill(
        "random",
        trainer,
        task,
        rewards=("random@exact",),
        config=every(logging, steps),
        fault="the reward is a coin that knows nothing of the completion",
        why="nothing can be learned; the policy only drifts",
        expected=rules("no-learning") | RUNAWAY,
        level="info",
        also_true=AFTERMATH,
    )
    for trainer, task, logging, steps in (("grpo", "letters", 1, 300), ("rloo", "tools", 2, 500))
]
CHANGED = [
    ill(
        name,
        trainer,
        task,
        skill,
        rewards=rewards,
        config=every(logging, steps, **config),
        data=data,
        fault=fault,
        why=why,
        expected=expected,
        also_true=RUNAWAY | AFTERMATH | DEAD | rules("no-learning", "dead-reward-component"),
        level=level,
        onset=0.5,
        abrupt=True,
    )
    for name, trainer, task, skill, rewards, logging, steps, config, data, level, expected, fault, why in (
        (
            *("dies", "grpo", "letters", "middle", ("dead@exact",), 1, 160, {}, {}, "warning"),
            LOSES | DEAD,
            "from mid-run on the reward function gives 0",
            "the reward falls to nothing and stays there",
        ),
        (
            *("dies", "rloo", "tags", "strong", ("dead@exact",), 5, 240, {}, {}, "warning"),
            LOSES | DEAD,
            "from mid-run on the reward function gives 0",
            "the reward falls to nothing and stays there",
        ),
        (
            *("one-dies", "grpo", "tags", "middle", ("form", "dead@answered"), 1, 160, {}, {}, "warning"),
            LOSES | rules("dead-reward-component", "proxy-divergence"),
            "from mid-run on one of two reward functions gives 0",
            "what is left pays the form alone",
        ),
        (
            *(
                "one-dies",
                "grpo",
                "tools",
                "middle",
                ("called", "said", "dead@exact"),
                2,
                200,
                {},
                {},
                "info",
            ),
            LOSES | rules("dead-reward-component", "proxy-divergence"),
            "from mid-run on one of three reward functions gives 0",
            "what is left pays a part of the task alone",
        ),
        (
            *("lenient", "grpo", "sums", "middle", ("lenient@exact",), 1, 160, {}, {}, "info"),
            DEAD | rules("no-learning"),
            "from mid-run on the reward function gives 1 to everything",
            "no group has a spread any more: nothing is learned",
        ),
        (
            *("lenient", "rloo", "letters", "middle", ("lenient@exact",), 5, 250, {}, {}, "info"),
            DEAD | rules("no-learning"),
            "from mid-run on the reward function gives 1 to everything",
            "no group has a spread any more: nothing is learned",
        ),
        (
            *("turned", "grpo", "tools", "strong", ("turned@exact",), 1, 160, {}, {}, "warning"),
            LOSES,
            "from mid-run on the reward is turned round",
            "the reward falls at once; what was learned is unlearned",
        ),
        (
            *("blind", "grpo", "letters", "strong", ("blind@exact",), 2, 240, {}, {}, "warning"),
            LOSES,
            "from mid-run on the judge gives random numbers",
            "the reward falls from its level to a half at once",
        ),
        (
            *("gone", "grpo", "tags", "middle", ("gone@exact",), 1, 120, {}, {}, "warning"),
            rules("missing-rewards"),
            "from mid-run on the judge gives None",
            "no completion has a reward",
        ),
        (
            *("other-prompts", "grpo", "letters", "strong", ("exact",), 1, 160, IN_ORDER),
            *({"levels": ("4", "9"), "rows": 640}, "warning", LOSES | DEAD | rules("truncation")),
            "from mid-run on the prompts are longer than any that was taught, and than the limit",
            "no completion is right any more",
        ),
        (
            *("other-prompts", "grpo", "tags", "middle", ("form", "exact"), 2, 200, IN_ORDER),
            *({"levels": ("3", "9"), "rows": 800}, "warning", LOSES | DEAD | rules("truncation")),
            "from mid-run on the prompts are longer than any that was taught",
            "no completion is right any more",
        ),
        (
            *("other-prompts", "rloo", "tools", "middle", ("exact",), 5, 200, IN_ORDER),
            *({"levels": ("1", "5"), "rows": 800}, "warning", LOSES | DEAD | rules("truncation")),
            "from mid-run on the prompts ask for more calls than fit into the limit",
            "no completion is right any more",
        ),
    )
]
GENERATION = (
    [
        ill(
            f"limit-{limit}",
            trainer,
            task,
            config=every(logging, steps, **{LIMITS[trainer]: limit}),
            fault=fault,
            why="answers that need more tokens cannot be right, whatever is learned",
            ill=outcome,
            expected=rules("truncation"),
            also_true=DEAD | RUNAWAY | CUT,
            abrupt=outcome == "always",
        )
        for LIMITS in (
            {
                "grpo": "max_completion_length",
                "rloo": "max_completion_length",
                "online_dpo": "max_new_tokens",
            },
        )
        for trainer, task, limit, logging, steps, outcome, fault in (
            ("grpo", "letters", 5, 1, 150, "always", "answers of 5 and 6 letters, half of all, are cut"),
            ("grpo", "tags", 9, 2, 160, "always", "the long half of the answers is cut"),
            ("grpo", "tools", 14, 5, 200, "always", "answers of two calls, half of all, are cut"),
            ("rloo", "letters", 4, 1, 120, "always", "all answers but those of 3 letters are cut"),
            ("rloo", "tags", 9, 10, 250, "always", "the long half of the answers is cut"),
            ("grpo", "sums", 3, 1, 150, "stood", "answers of three digits, a fifth of all, are cut"),
            ("grpo", "tools", 9, 1, 100, "always", "every answer is cut"),
        )
    ]
    + [
        ill(
            "wrong-end",
            trainer,
            task,
            eos="<end>",
            config=every(logging, steps),
            fault="tokenizer and model have another end token than the policy writes",
            why="what the policy ends with stays in the text, so that no answer is ever right",
            expected=DEAD,
            also_true=RUNAWAY | rules("truncation", "eos-mismatch", "no-learning"),
            abrupt=True,
        )
        for trainer, task, logging, steps in (("grpo", "tags", 1, 100), ("rloo", "letters", 5, 150))
    ]
    + [
        ill(
            f"temperature-{temperature:g}",
            trainer,
            task,
            skill,
            config=every(logging, steps, temperature=temperature),
            fault=f"sampled at a temperature of {temperature:g}",
            why=why,
            ill="stood",
            expected=expected | rules("sampling-temperature"),
            also_true=AFTERMATH | RUNAWAY | rules("no-learning"),
            level="info",
        )
        for trainer, task, skill, temperature, logging, steps, expected, why in (
            (
                *("grpo", "letters", "middle", 0.1, 1, 200, rules("zero-advantage", "entropy-collapse")),
                "the completions of a prompt are all the same",
            ),
            (
                *("grpo", "tools", "middle", 0.15, 5, 250, rules("zero-advantage", "entropy-collapse")),
                "the completions of a prompt are all the same",
            ),
            (
                *("rloo", "sums", "weak", 0.1, 2, 200, rules("zero-advantage", "entropy-collapse")),
                "the completions of a prompt are all the same",
            ),
            (
                *("grpo", "tags", "middle", 2.5, 1, 200),
                rules("entropy-explosion", "truncation", "broken-start", "dead-reward", "zero-advantage"),
                "what is sampled is mostly noise, so that nothing is ever right",
            ),
        )
    ]
    + [
        ill(
            "groups-of-2",
            "grpo",
            "tools",
            "strong",
            config=every(2, 240, num_generations=2),
            fault="two completions a prompt, and most prompts are easy",
            why="most groups have no spread; the configuration shows it",
            expected=rules("few-generations", "zero-advantage"),
            level="info",
        ),
        ill(
            "all-masked",
            "grpo",
            "tools",
            config=every(1, 100, max_completion_length=9, mask_truncated_completions=True),
            fault="every answer is cut, and what is cut is masked",
            why="nothing is left to learn from",
            expected=rules("truncation", "zero-gradient", "masked-truncation"),
            also_true=DEAD,
            abrupt=True,
        ),
    ]
)
ILL = [HACKS, NO_SIGNAL, CHANGED, GENERATION]
"""By the kind of fault."""
