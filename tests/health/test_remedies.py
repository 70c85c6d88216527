"""Remedies name options that the run's trainer has, and no value that it already has: checked against TRL."""

import dataclasses
import re
from functools import cache
from typing import Any

import pytest

from rldk.health import RULES, Cause, Observation, Rule, RunContext
from rldk.health.remedies import OPTIONS, Remedy, render_remedies
from rldk.health.rules.system.run_end import RESUME
from rldk.health.tracks import Chart
from rldk.schema.run_info import RunEnd

ALGORITHMS = ("grpo", "rloo", "dpo", "kto", "sft", "reward", "ppo")
NAMED = re.compile(r"`(\w+)(?:=([^`]+))?`")
SET = re.compile(r"set `(\w+)` to (-?[\d.e-]+)")


@cache
def trl() -> Any:
    """The installed TRL."""
    return pytest.importorskip("trl")


@cache
def config(algorithm: str) -> Any:
    """The configuration class of a trainer; None where the installed TRL has none."""
    names = {"sft": "SFTConfig", "reward": "RewardConfig"}
    return getattr(trl(), names.get(algorithm, f"{algorithm.upper()}Config"), None)


@cache
def defaults(algorithm: str) -> dict[str, Any]:
    """The class's default options."""
    fields = dataclasses.fields(config(algorithm))
    return {
        field.name: field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        for field in fields
        if field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    }


def present(algorithm: str) -> None:
    if config(algorithm) is None:
        pytest.skip(f"the installed TRL has no {algorithm}")


def causes(rule: type[Rule], context: RunContext) -> list[Cause]:
    """What a rule names as causes with nothing seen yet."""
    made = rule(rule.Options(), context, Chart())
    return made.causes()


def applies(rule: type[Rule], algorithm: str) -> bool:
    return rule.algorithms is None or algorithm in rule.algorithms


def remedies(rule: type[Rule], context: RunContext) -> list[Remedy]:
    return [remedy for cause in causes(rule, context) for remedy in cause.remedies]


@pytest.mark.compat
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_option_named_exists_and_is_not_set_to_what_it_is(algorithm):
    present(algorithm)
    options = defaults(algorithm)
    known = {name for other in ALGORITHMS if config(other) for name in defaults(other)}
    context = RunContext(algorithm=algorithm, dialect="trl", options=options)
    for rule in (rule for rule in RULES if applies(rule, algorithm)):
        for text in render_remedies(remedies(rule, context), context):
            for name, value in NAMED.findall(text):
                assert name in options, f"{rule.name}: {text}"
                if value:
                    assert repr(options[name]) != value, f"{rule.name}: {text}"
            for name, value in SET.findall(text):
                assert options[name] is None or float(options[name]) != float(value), f"{rule.name}: {text}"
        for cause in causes(rule, context):
            for name in (name for name, _ in NAMED.findall(cause.text)):
                assert name in options or name not in known, f"{rule.name}: {cause.text}"


@pytest.mark.compat
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_table_of_options_agrees_with_trl(algorithm):
    """For foreign logs, which do not say what the run had."""
    present(algorithm)
    version = "1" if trl().__version__.partition(".")[0] >= "1" else "0"
    wrong = {
        name
        for name, trainers in OPTIONS.items()
        if (name in defaults(algorithm)) != bool({algorithm, f"{algorithm}@{version}"} & trainers)
    }
    assert wrong == set()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_option_that_a_rule_names_is_in_the_table(algorithm):
    """Otherwise a remedy would never be told of a foreign log, without anybody noticing."""
    context = RunContext(algorithm=algorithm, dialect="trl")
    for rule in (rule for rule in RULES if applies(rule, algorithm)):
        for remedy in remedies(rule, context):
            for name, _ in NAMED.findall(remedy.text):
                assert name in OPTIONS, f"{rule.name}: {remedy.text}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_remedies_say_in_words_what_values_are(rule):
    """A value stands in the backquotes or after "set ... to": nowhere else it could be checked."""
    for cause in causes(rule, RunContext(dialect="trl")):
        assert 0 <= cause.likelihood <= 1
        for remedy in cause.remedies:
            assert not remedy.text.endswith(".")
            assert "`" not in NAMED.sub("", remedy.text), remedy.text


def test_a_value_that_the_run_has_is_not_suggested():
    remedy = [Remedy("set `scale_rewards='batch'`")]
    assert render_remedies(remedy, RunContext(dialect="trl", options={"scale_rewards": "batch"})) == []
    assert render_remedies(remedy, RunContext(dialect="trl", options={"scale_rewards": "group"})) == [
        remedy[0].text
    ]


def test_a_number_is_told_with_what_it_is_now_and_what_to_try():
    remedy = [Remedy("lower `learning_rate`", scale=0.1)]
    context = RunContext(dialect="trl", options={"learning_rate": 1e-4})
    assert render_remedies(remedy, context) == ["lower `learning_rate` (now 0.0001, try 1e-05)"]
    assert render_remedies(remedy, RunContext(dialect="trl")) == ["lower `learning_rate`"]


def test_bounds_keep_a_remedy_from_going_the_wrong_way():
    down, up = [Remedy("set `max_grad_norm` to 0.2", down_to=0.2)], [Remedy("set `beta` to 0.04", up_to=0.04)]
    assert render_remedies(down, RunContext(dialect="trl", options={"max_grad_norm": 0.1})) == []
    assert render_remedies(up, RunContext(dialect="trl", options={"beta": 0.1})) == []


def test_other_frameworks_get_their_own_words_or_common_options_alone():
    remedy = [Remedy("raise `max_completion_length`", scale=2, verl="raise data.max_response_length")]
    assert render_remedies(remedy, RunContext(dialect="verl")) == ["raise data.max_response_length"]
    assert render_remedies(remedy, RunContext(dialect="sb3")) == []
    assert render_remedies([Remedy("lower `learning_rate`")], RunContext(dialect="sb3")) == [
        "lower `learning_rate`"
    ]


def test_rules_without_records_name_causes_without_failing():
    for algorithm in (None, *ALGORITHMS):
        for rule in RULES:
            causes(rule, RunContext(algorithm=algorithm))
            made = rule(rule.Options(), RunContext(algorithm=algorithm), Chart())
            if made.phases and not rule.needs and made.checkable() is None:
                for kind in rule.kinds:
                    made.observe(Observation(1, kind, {}, made.phases[0], ends={0: RunEnd()}))


def test_a_remedy_may_depend_on_another_option():
    warm = [Remedy("set `warmup_steps` to a tenth of the run", unless=("warmup_steps", "warmup_ratio"))]
    for ratio, steps, count in ((0.0, 0, 1), (0.1, 0, 0), (0.0, 10, 0), (0.0, 0.1, 0)):
        options = {"warmup_ratio": ratio, "warmup_steps": steps}
        assert len(render_remedies(warm, RunContext(dialect="trl", options=options))) == count
    engine = [Remedy("set `vllm_enable_sleep_mode=True`", only_with="use_vllm")]
    for use, count in ((False, 0), (True, 1)):
        options = {"use_vllm": use, "vllm_enable_sleep_mode": False}
        assert len(render_remedies(engine, RunContext(dialect="trl", options=options))) == count


@pytest.mark.parametrize(
    ("model", "rate", "count"),
    [("PeftModel", 1e-6, 1), ("PeftModel", 1e-4, 0), ("Qwen2", 1e-6, 1), ("Qwen2", 1e-5, 0)],
)
def test_a_higher_rate_is_named_only_where_it_is_plausible(model, rate, count):
    context = RunContext(algorithm="grpo", dialect="trl", model_class=model, options={"learning_rate": rate})
    (rule,) = (rule for rule in RULES if rule.name == "no-learning")
    texts = render_remedies(remedies(rule, context), context)
    assert sum("learning_rate" in text for text in texts) == count


@pytest.mark.parametrize("dialect", ["generic", "verl"])
def test_a_run_of_a_loop_is_resumed_as_a_loop(dialect):
    (text,) = render_remedies([RESUME], RunContext(dialect=dialect))
    assert text.endswith("rldk.record(..., from_step=N)")
    (text,) = render_remedies([RESUME], RunContext(dialect="trl"))
    assert text.endswith("trainer.train(resume_from_checkpoint=True)")
