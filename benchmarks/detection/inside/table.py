"""The table of the trainings that were recorded with everything on: which, what is wrong, what is to be said.

Invariant: a fault differs from a healthy row in what its `fault` says; a label says what is true of the run.
Rules and causes were written first, `says` and some of `also_true` with the first verdicts in view: what was
changed then stands in docs/detection.md.
"""

from collections.abc import Iterable
from dataclasses import replace

from inside.row import Row

__all__ = ["ROWS", "Row", "by_run"]

SAVED = {"save_strategy": "steps", "save_steps": 20}
SHORT = {"max_steps": 60}
"""For what ends a run at step 30, or shows at once."""


def _rules(*names: str) -> frozenset[str]:
    return frozenset(names)


CUT = _rules("truncation", "length-runaway", "reward-length-correlation")
LOST = _rules("crash", "unfinished-run")

REWARDS = [
    Row(
        "missing-none",
        "grpo",
        "a reward function gives None to 30% of the completions",
        _rules("missing-rewards"),
        linked=True,
        rewards=("patchy@none",),
        says="colours to 3",
    ),
    Row(
        "missing-nan",
        "grpo",
        "a reward function gives NaN to 30% of the completions",
        _rules("missing-rewards"),
        linked=True,
        rewards=("patchy@nan",),
        says="colours to 3",
    ),
    Row(
        "missing-prompts",
        "grpo",
        "no reward function knows a third of the prompts: all their completions get None from both",
        _rules("missing-rewards"),
        linked=True,
        rewards=("deaf@colours", "deaf@correct"),
        says="got no reward from any function",
    ),
    Row(
        "infinite",
        "grpo",
        "a reward function divides by zero in every 20th step: one completion gets an infinity",
        _rules("reward-function-errors", "non-finite"),
        onset=20,
        rewards=("infinite@20",),
        linked=True,
    ),
    Row(
        "missing-old",
        "grpo",
        "a reward function gives None to 30% of the completions, which TRL 0.23 counts as 0",
        _rules("missing-rewards"),
        linked=True,
        says="colours to 3",
        rewards=("patchy@none",),
        seeds=(1,),
        trl="0.23",
    ),
    Row(
        "infinite-old",
        "grpo",
        "one infinity at step 20, which makes all weights NaN in TRL 0.23, and generation dies",
        _rules("reward-function-errors"),
        LOST | _rules("non-finite", "checkpoint-non-finite", "missing-rewards"),
        says="`colours` gave an infinity",
        onset=20,
        rewards=("infinite@20",),
        seeds=(1,),
        trl="0.23",
    ),
    Row(
        "reward-too-few-old",
        "grpo",
        "a reward function returns one value too few at step 30, which ends the run",
        _rules("crash"),
        onset=30,
        config=SHORT,
        rewards=("short@30",),
        seeds=(1,),
        trl="0.23",
    ),
    Row(
        "reward-raises",
        "grpo",
        "a reward function raises at step 30, which ends the run",
        _rules("crash"),
        onset=30,
        config=SHORT,
        rewards=("raises@30",),
        says="in the reward function colours",
    ),
    Row(
        "reward-too-few",
        "grpo",
        "a reward function returns one value too few at step 30, which ends the run",
        _rules("crash"),
        onset=30,
        config=SHORT,
        rewards=("short@30",),
        says="returned 31 rewards",
    ),
    Row(
        "reward-slow",
        "grpo",
        "a reward function takes most of a step",
        _rules("slow-reward"),
        level="info",
        config=SHORT,
        rewards=("slow@0.2",),
        says="the slowest is colours",
    ),
    Row(
        "hacked",
        "grpo",
        "the reward counts colours wherever they stand; the truth, of weight 0, is a correct sentence",
        _rules("proxy-divergence"),
        CUT | _rules("kl-blowup", "repetition"),
        linked=True,
        config={"max_steps": 120, "reward_weights": [1.0, 0.0]},
        rewards=("colour_count", "correct"),
        truth="rewards/correct/mean",
    ),
]
TEXTS = [
    Row(
        "eos-mismatch",
        "grpo",
        "generation stops on <eos> and <end>, the tokenizer's end token is <end>: TRL 0.23 sees no end",
        _rules("eos-mismatch"),
        _rules("truncation", "kl-blowup"),
        linked=True,
        config={"generation_kwargs": {"eos_token_id": [2, 1]}},
        breaks=("other_end",),
        trl="0.23",
    ),
    Row(
        "eos-mismatch-kwargs",
        "grpo",
        "generation_kwargs stop at <eos>, which neither tokenizer nor generation config name",
        _rules("eos-mismatch"),
        config={"generation_kwargs": {"eos_token_id": [2, 1]}},
        breaks=("other_end_unnamed",),
        linked=True,
    ),
    Row(
        "duplicates",
        "grpo",
        "completions are sampled at temperature 0.05 from step 30 on, under a reward that is chance",
        _rules("duplicate-completions"),
        _rules("entropy-collapse", "zero-advantage", "length-collapse", "length-runaway"),
        linked=True,
        onset=31,
        config={"max_steps": 100},
        rewards=("noise",),
        breaks=("cold@30",),
    ),
    Row(
        "repetition",
        "grpo",
        "the reward pays for one word, the more often the better",
        _rules("repetition"),
        CUT | _rules("kl-blowup", "entropy-collapse", "duplicate-completions", "zero-advantage"),
        level="info",  # its reward rises, and the rule does not know what it should have been
        linked=True,
        config={"max_steps": 120, "learning_rate": 1e-3, "beta": 0.0},
        rewards=("repeats",),
    ),
    Row(
        "truncation",
        "grpo",
        "the reward is the length",
        CUT,
        _rules("repetition", "kl-blowup"),
        linked=True,
        config={"max_steps": 120},
        rewards=("length",),
    ),
]
WEIGHTS = [
    Row(
        "nan-weights",
        "grpo",
        "a weight is NaN after step 40, and generation dies",
        _rules("non-finite"),
        LOST | _rules("checkpoint-non-finite"),
        says="the weights hold NaN",
        onset=40,
        config=SHORT,
        breaks=("nan_weights@40",),
    ),
    *(
        Row(
            f"nan-silent-{trainer}",
            trainer,
            "the embedding of a token that no text holds is NaN from step 30 on; training goes on",
            _rules("checkpoint-non-finite"),
            onset=30,
            breaks=("nan_unused@30",),
        )
        for trainer in ("sft", "dpo")
    ),
    *(
        Row(
            f"detached-{trainer}",
            trainer,
            "the optimizer holds copies of the weights: its steps change nothing",
            _rules("weights-unchanged"),
            _rules("frozen-policy", "no-learning", "optimizer-state"),
            breaks=("detached",),
        )
        for trainer in ("grpo", "sft")
    ),
    *(
        Row(
            f"dead-lora-{trainer}",
            trainer,
            "half of the adapter is not trainable when the optimizer is built: lora_B stays 0",
            _rules("lora-dead"),
            _rules("frozen-policy", "weights-unchanged", "optimizer-state", "zero-gradient"),
            model="lora",
            breaks=("half_adapter",),
        )
        for trainer in ("grpo", "dpo")
    ),
]
ENDS = [
    Row(
        "sigkill",
        "grpo",
        "SIGKILL at step 30",
        _rules("unfinished-run"),
        level="info",
        says="the process was killed",
        breaks=("signal@9,30",),
    ),
    Row("sigterm", "grpo", "SIGTERM at step 30", _rules("crash"), says="SIGTERM", breaks=("signal@15,30",)),
    Row(
        "cuda-memory",
        "grpo",
        "torch.OutOfMemoryError in the step",
        _rules("crash"),
        says="memory ran out",
        breaks=("cuda_memory@30",),
    ),
    Row(
        "memory",
        "dpo",
        "MemoryError in the step",
        _rules("crash"),
        says="memory ran out",
        breaks=("memory@30",),
    ),
    Row(
        "callback-raises",
        "sft",
        "another callback raises a KeyError",
        _rules("crash"),
        says="KeyError",
        breaks=("raises@30",),
    ),
    Row("abort", "grpo", "os.abort at step 30", _rules("crash"), says="below Python", breaks=("abort@30",)),
    Row(
        "stall",
        "grpo",
        "the reward function hangs for six seconds at step 30; the watchdog waits for one",
        _rules("stall"),
        rewards=("slow_once@30,6",),
        breaks=("impatient",),
        says="hangs in the reward function colours",
    ),
    Row(
        "stall-killed",
        "grpo",
        "the reward function hangs at step 30, and the process is killed",
        _rules("stall"),
        LOST,
        rewards=("slow_once@30,6",),
        breaks=("impatient", "killed_later@30,4"),
        says="hangs in the reward function colours",
    ),
]
HEALTHY = [
    Row("well-grpo", "grpo"),
    Row("well-lora", "grpo", model="lora", config={"learning_rate": 5e-3}),
    Row("well-bf16", "grpo", model="bf16"),
    Row("well-iterations", "grpo", config={"num_iterations": 2}),
    Row("well-seldom", "grpo", config={"logging_steps": 5, "max_steps": 150}),
    Row("well-chat", "grpo", chat=True, rewards=("chatty",)),
    Row("well-async", "grpo", rewards=("awaited",)),
    Row("well-tasks", "grpo", rewards=("task@0", "task@1")),
    Row("well-several", "grpo", rewards=("colours", "correct", "colours")),
    Row("well-brief", "grpo", rewards=("brief",), config={"max_completion_length": 12}),
    Row("well-stopped", "grpo", breaks=("stops@50",)),
    Row("well-resumed", "grpo", breaks=("signal@9,50",), resumes=True),
    Row("well-one-kept", "grpo", config={"save_total_limit": 1, "save_steps": 10}),
    Row("well-weights-only", "grpo", config={"save_only_model": True}),
    Row("well-evaluated", "grpo", config={"eval_strategy": "steps", "eval_steps": 20}),
    Row("well-rloo", "rloo"),
    Row("well-dpo", "dpo"),
    Row("well-dpo-lora", "dpo", model="lora", config={"learning_rate": 2e-3}),
    Row("well-sft", "sft"),
    Row("well-kto", "kto"),
    Row("well-old", "grpo", trl="0.23"),
    Row("well-old-dpo", "dpo", trl="0.23"),
]


def _at_30(rows: Iterable[Row]) -> list[Row]:
    return [replace(row, onset=30, config=SHORT | dict(row.config), seeds=(1,)) for row in rows]


ROWS: tuple[Row, ...] = (*REWARDS, *TEXTS, *WEIGHTS, *_at_30(ENDS), *HEALTHY)
"""In the order of the page."""


def by_run() -> dict[str, Row]:
    """The rows by the names of their runs."""
    return {run: row for row in ROWS for run in row.runs()}
