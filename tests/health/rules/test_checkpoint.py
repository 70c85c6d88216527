"""The checkpoint family: each rule on facts where it must speak and on facts where it must be silent."""

import math

import pytest

from checkpoints.judging import findings, observe
from rldk.health import Monitor, RunContext, Settings, diagnose
from rldk.health.observation import Observation
from rldk.schema.checkpoint import (
    Analysis,
    Best,
    Comparison,
    Group,
    LoraAdapter,
    NonFiniteTensor,
    Optimizer,
    Part,
    TrainerProgress,
    Vocabulary,
)


def facts(step=20, **changes):
    """A whole checkpoint in which nothing is wrong."""
    whole = {
        "path": f"/out/checkpoint-{step}",
        "step": step,
        "kind": "model",
        "parts": [Part(name="model.safetensors", bytes=1000, tensors=3)],
        "bytes": 1000,
        "tensors": 3,
        "state": "whole",
        "resumable": True,
        "progress": TrainerProgress(step=step, logged_step=step, logged_lr=1e-3, steepest=1e-5, updates=step),
    }
    return Analysis(**(whole | changes))


def found(rule, analysis, **context):
    return findings(analysis, **context).get(rule)


def test_nothing_is_said_of_a_whole_checkpoint():
    assert findings(facts()) == {}


def test_what_was_deleted_while_it_was_read_is_not_judged():
    broken = Part(name="model.safetensors", fault="cut short")
    assert findings(facts(gone="deleted", parts=[broken], non_finite_tensors=1)) == {}


def test_a_record_of_another_make_is_let_be():
    monitor = Settings().monitor(RunContext())
    monitor.observe(Observation(3, "checkpoint", {}, detail={"path": 7}))
    assert not monitor.failed
    assert not monitor.incidents


# checkpoint-incomplete


@pytest.mark.parametrize(
    ("changes", "context", "severity"),
    [
        ({"state": "partial", "missing": ["optimizer.pt"]}, {}, "warning"),
        ({"state": "partial", "missing": ["rng_state_1.pth"]}, {}, "info"),
        ({"state": "weights"}, {}, "info"),
        ({"state": "weights"}, {"options": {"save_only_model": True}}, None),
        ({"state": "weights"}, {"options": {"save_only_model": False}}, "warning"),
        ({"state": "weights", "progress": None}, {}, None),
        ({"config_missing": "config.json"}, {}, "warning"),
        ({"config_missing": "config.json"}, {"model_class": "Line"}, None),
        ({"best": Best(path="out/checkpoint-3")}, {}, None),
        ({"best": Best(path="out/checkpoint-3", exists=False)}, {}, "warning"),
        ({"best": Best(path="out/checkpoint-3", exists=False, moved=True)}, {}, "info"),
        ({"progress": TrainerProgress(fault="cut short")}, {}, "critical"),
        ({"optimizer": Optimizer(scheduler_fault="no zip")}, {}, "critical"),
    ],
)
def test_what_is_missing_is_as_bad_as_what_it_costs(changes, context, severity):
    one = found("checkpoint-incomplete", facts(**changes), **context)
    assert (one and one.severity) == severity


def test_a_checkpoint_that_is_broken_stays_so_whatever_follows():
    broken = facts(20, parts=[Part(name="model.safetensors", fault="cut short: 3 bytes of 9")])
    one = findings(broken, facts(30), facts(40))["checkpoint-incomplete"]
    assert (one.severity, one.first_step) == ("critical", 20)
    assert "checkpoint-20: model.safetensors is damaged: cut short: 3 bytes of 9" in one.message


@pytest.mark.parametrize(
    ("changes", "context", "first"),
    [
        ({}, {}, "save_only_model=True"),
        ({}, {"options": {"save_only_model": False}}, "the disk was full"),
        ({"faults": ["x is missing"]}, {}, "the disk was full"),
    ],
)
def test_weights_alone_are_most_likely_meant(changes, context, first):
    one = found("checkpoint-incomplete", facts(state="weights", **changes), **context)
    assert first in one.causes[0]
    assert ("save_only_model=False" in one.remedies[0]) == (first == "save_only_model=True")


def test_weights_alone_after_a_fault_do_not_explain_it():
    broken, alone = facts(20, faults=["x is missing"]), facts(30, state="weights")
    one = findings(broken, alone)["checkpoint-incomplete"]
    assert (one.severity, "disk" in one.causes[0]) == ("critical", True)


def test_several_faults_are_counted():
    one = found(
        "checkpoint-incomplete", facts(faults=["a is missing", "b is missing"], empty=["w"], empty_tensors=9)
    )
    assert one.message == "checkpoint-20: a is missing (and 2 more)"


# checkpoint-non-finite


def test_masks_may_hold_infinities():
    mask = NonFiniteTensor(name="model.layers.0.attn.causal_mask", inf=9, elements=81)
    assert found("checkpoint-non-finite", facts(non_finite=[mask], non_finite_tensors=1)) is None
    weight = NonFiniteTensor(name="model.mask_decoder.weight", nan=1, elements=81)
    one = found("checkpoint-non-finite", facts(non_finite=[mask, weight], non_finite_tensors=2))
    assert "1 of 3 tensors" in one.message
    assert one.evidence["tensors"] == [weight.name]


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({"zeros": True}, None),
        ({"zeros": True, "unchanged": True}, None),
        ({"zeros": True, "unchanged": False}, "critical"),
        ({"unchanged": True}, "info"),
        ({"unchanged": False}, "critical"),
        ({}, "critical"),
        ({"zeros": True, "unchanged": True, "lowest": False}, "critical"),  # NaN, or +inf
    ],
)
def test_a_bias_of_minus_infinity_that_does_not_change_is_no_fault(changes, severity):
    bias = NonFiniteTensor(**({"name": "h.0.attn.bias", "inf": 9, "elements": 81, "lowest": True} | changes))
    one = found("checkpoint-non-finite", facts(non_finite=[bias], non_finite_tensors=1))
    assert (one and one.severity) == severity
    weight = NonFiniteTensor(name="w", nan=1)
    both = facts(non_finite=[weight, bias], non_finite_tensors=25, masks=20)
    one = found("checkpoint-non-finite", both)
    assert (one.severity, "5 of 3 tensors" in one.message) == ("critical", True)


# weights-unchanged


def compared(**changes):
    same = {"path": "/out/checkpoint-10", "step": 10, "steps": 10, "highest_lr": 1e-6, "bytes_before": 1000}
    return Comparison(**(same | {"tensors": 3, "unchanged_tensors": 3, "unchanged": 1.0} | changes))


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, "critical"),
        ({"base": True, "step": 0}, "critical"),
        ({"steps": 2}, "info"),
        ({"steps": 0}, None),
        ({"steps": None}, None),
        ({"highest_lr": 0.0}, None),
        ({"unchanged_tensors": 2, "unchanged": 0.95}, None),
        ({"removed": ["lm_head.weight"]}, None),
        ({"tensors": 0, "unchanged_tensors": 0}, None),
    ],
)
def test_unchanged_weights_are_a_fault_only_after_steps_that_should_change_them(changes, severity):
    one = found("weights-unchanged", facts(compared=compared(**changes)))
    assert (one and one.severity) == severity


def test_a_rate_that_is_logged_less_often_than_is_saved_is_taken_from_before():
    unlogged = compared(highest_lr=None)
    assert found("weights-unchanged", facts(compared=unlogged)).severity == "critical"
    assert found("weights-unchanged", facts(compared=unlogged, progress=None)).severity == "info"
    warming = TrainerProgress(step=20, logged_step=1, logged_lr=0.0)
    assert found("weights-unchanged", facts(compared=unlogged, progress=warming)) is None


def test_weights_that_change_later_are_told_as_over():
    still = facts(20, compared=compared())
    moving = facts(30, compared=compared(unchanged_tensors=0))
    assert findings(still, moving)["weights-unchanged"].severity == "info"


# lora-dead


def adapter(**changes):
    return LoraAdapter(
        **({"kind": "LORA", "bytes": 5000, "base": "m", "r": 8, "modules": 4, "zero_b": 4} | changes)
    )


@pytest.mark.parametrize(
    ("step", "updates", "changes", "speaks"),
    [
        (20, 20, {}, True),
        (20, None, {}, True),
        (1, 1, {}, False),
        (20, 1, {}, False),
        (20, 20, {"zero_b": 3}, False),
        (20, 20, {"modules": 0, "zero_b": 0}, False),
    ],
)
def test_zeros_are_dead_once_they_could_have_changed(step, updates, changes, speaks):
    progress = TrainerProgress(step=step, updates=updates)
    one = found("lora-dead", facts(step, kind="adapter", adapter=adapter(**changes), progress=progress))
    assert (one is not None) == speaks


def test_an_adapter_without_a_tensor_is_dead_at_once():
    one = found(
        "lora-dead", facts(1, kind="adapter", tensors=0, adapter=adapter(bytes=443, modules=0, zero_b=0))
    )
    assert "443 bytes holds no tensor" in one.message


# weight-drift


def groups(*drifts):
    return [Group(name=f"model.layers.{i}.mlp", drift=drift) for i, drift in enumerate(drifts)]


@pytest.mark.parametrize(
    ("drifts", "speaks"),
    [
        ([1e-3, 1.1e-3, 0.9e-3, 1e-3, 1.2e-3, 8e-3], True),
        ([1e-3, 1.1e-3, 0.9e-3, 1e-3, 1.2e-3, 2.5e-3], False),
        ([1e-3, 1e-3, 1e-3, 1e-3, 8e-3], False),  # too few to tell
        ([0.0, 0.0, 0.0, 0.0, 0.0, 8e-3], False),  # all but one are frozen
        ([1e-3, 8e-3, 2e-3, 30e-3, 4e-3, 60e-3], False),  # they differ by nature
        ([None] * 6, False),
    ],
)
def test_a_layer_is_an_outlier_among_its_like(drifts, speaks):
    changing = compared(unchanged_tensors=0)
    one = found("weight-drift", facts(compared=changing, groups=groups(*drifts)))
    assert (one is not None) == speaks
    if speaks:
        assert one.severity == "info"
        assert "model.layers.5.mlp moved by 0.008" in one.message


def test_a_dtype_or_a_size_that_changed_is_told_but_not_against_the_base():
    changed = {"unchanged_tensors": 0, "retyped": ["w: F32 [2] -> F16 [2]"]}
    assert "F32" in found("weight-drift", facts(compared=compared(**changed))).message
    assert found("weight-drift", facts(compared=compared(**changed, base=True))) is None
    larger = compared(unchanged_tensors=0, bytes_before=980)
    assert "980 bytes" in found("weight-drift", facts(compared=larger)).message
    assert found("weight-drift", facts(compared=compared(unchanged_tensors=0, bytes_before=995))) is None
    unrelated = compared(tensors=0, unchanged_tensors=0, bytes_before=980)
    assert found("weight-drift", facts(compared=unrelated)) is None


# lora-rank


@pytest.mark.parametrize(
    ("step", "r", "stable", "words"),
    [
        (100, 16, 1.05, "unused"),
        (100, 16, 14.0, "whole rank"),
        (100, 16, 4.0, None),
        (100, 1, 1.0, None),
        (100, 4, 1.05, None),
        (10, 16, 1.05, None),
    ],
)
def test_a_rank_is_told_once_it_is_far_from_what_is_used(step, r, stable, words):
    one = found("lora-rank", facts(step, kind="adapter", adapter=adapter(r=r, stable_rank=stable, zero_b=0)))
    assert (one is not None) == bool(words)
    if words:
        assert words in one.message


# vocabulary-mismatch


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"tokens": 280}, None),
        ({"tokens": 301, "beyond": ["<think>"]}, "none for <think>"),
        ({"tokens": 301, "beyond": ["<image_soft_token>"]}, None),
        ({"tokens": 400}, "400 tokens"),
        ({"head_rows": 300, "heads_equal": False}, "the two differ"),
        ({"head_rows": 300, "heads_equal": False, "tied": False}, None),
        ({"head_rows": 290, "tied": False}, "the head 290"),
        ({"tied": False, "needs_head": True}, "the output head is missing"),
        ({"tied": False}, None),
        ({"tied": None, "needs_head": True}, None),
        ({"config_rows": 512}, "config.json says 512"),
        ({"head_rows": 290, "config_rows": 290, "tied": False}, None),  # Mllama: no image is predicted
        ({"head_rows": 310, "config_rows": 310, "tied": False}, "the head 310"),
        ({"head_rows": 290, "config_rows": 280, "tied": False}, "the head 290"),
    ],
)
def test_what_disagrees_on_the_vocabulary(changes, words):
    fitting = {"embeddings": "e", "embedding_rows": 300, "config_rows": 300, "tied": True, "tokens": 300}
    one = found("vocabulary-mismatch", facts(vocabulary=Vocabulary(**(fitting | changes))))
    assert (one is not None) == bool(words)
    if words:
        assert words in one.message


# optimizer-state


def optimizer(**changes):
    whole = {"parameters": 9, "moments": True, "fewest_steps": 20, "most_steps": 20}
    return Optimizer(**(whole | {"lr": [9e-4], "scheduled_lr": [9e-4]} | changes))


@pytest.mark.parametrize(
    ("changes", "experts", "severity"),
    [
        ({}, False, None),
        ({"without_state": 1, "fewest_steps": 19}, False, "warning"),
        ({"without_state": 1, "fewest_steps": 19}, True, "info"),
        ({"without_state": 1, "fewest_steps": None, "most_steps": None}, False, "warning"),
        ({"without_state": 1}, False, "info"),
        ({"without_state": 9}, True, "warning"),
        ({"without_state": 9, "moments": False}, False, None),
        ({"fewest_steps": 4}, False, "warning"),
        ({"fewest_steps": 4}, True, "info"),
        ({"fewest_steps": 6, "most_steps": 6}, False, "info"),
        ({"fewest_steps": 18, "most_steps": 18}, False, None),  # fp16 skipped two
        ({"non_finite": [NonFiniteTensor(name="3.exp_avg_sq", nan=1)]}, False, "warning"),
        ({"lr": [1e-3], "scheduled_lr": [9e-4]}, False, "warning"),
        ({"lr": [9e-4, 9e-4], "scheduled_lr": [9e-4]}, False, None),
        ({"fault": "cut short", "without_state": 9}, False, None),  # checkpoint-incomplete says it
    ],
)
def test_what_an_optimizer_must_hold(changes, experts, severity):
    one = found("optimizer-state", facts(optimizer=optimizer(**changes), experts=experts))
    assert (one and one.severity) == severity


@pytest.mark.parametrize(
    ("tensors", "unchanged", "severity"),
    [
        (9, 2, "info"),  # as many as have a state
        (9, 1, "warning"),  # one that changed has none
        (9, 9, "info"),
        (30, 28, "info"),  # most of the model is frozen
        (30, 22, "warning"),
        (30, 0, "info"),  # more than parameters: they were cut differently for the file
        (0, 0, "info"),
    ],
)
def test_what_has_no_state_and_did_not_change_got_no_gradient(tensors, unchanged, severity):
    against = compared(tensors=tensors, unchanged_tensors=unchanged, unchanged=0.1)
    one = found("optimizer-state", facts(optimizer=optimizer(without_state=2), compared=against))
    assert one.severity == severity
    assert ("get no gradient" in one.causes[0]) == (severity == "info")


@pytest.mark.parametrize(
    ("following", "schedule", "changes", "severity"),
    [
        (9.9e-4, "linear", {}, None),
        (3e-3, "linear", {}, "warning"),
        (3e-3, None, {}, "info"),
        (3e-3, "cosine_with_restarts", {}, None),
        (0.0, None, {}, "warning"),
        (3e-3, "linear", {"steepest": None}, None),
        (3e-3, "linear", {"steepest": 1e-3}, None),  # the schedule is as steep as that
        (3e-3, "linear", {"logged_step": 15}, None),
        (3e-3, "linear", {"logged_lr": None}, None),
    ],
)
def test_the_next_learning_rate_follows_the_last(following, schedule, changes, severity):
    progress = TrainerProgress(
        **({"step": 20, "logged_step": 20, "logged_lr": 1e-3, "steepest": 1e-5} | changes)
    )
    state = optimizer(lr=[following], scheduled_lr=[following])
    options = {"lr_scheduler_type": schedule} if schedule else {}
    one = found("optimizer-state", facts(progress=progress, optimizer=state), options=options)
    assert (one and one.severity) == severity
    plateau = optimizer(lr=[following], scheduled_lr=[following], plateau=True)
    assert found("optimizer-state", facts(progress=progress, optimizer=plateau)) is None


# adapter-config


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, None),
        ({"base": None}, "warning"),
        ({"base": None, "fault": "no JSON"}, "warning"),
        ({"base_missing": True}, "info"),
        ({"unmatched_targets": ["w1"]}, "info"),
        ({"untargeted": ["model.layers.0.q_proj"]}, "warning"),
        ({"wrong_rank": ["q_proj has rank 8"]}, "warning"),
        ({"unpaired": ["q_proj"]}, "warning"),
        ({"scale": 0.0}, "warning"),
        ({"scale": 2.0}, None),
    ],
)
def test_what_an_adapters_configuration_must_say(changes, severity):
    one = found("adapter-config", facts(kind="adapter", adapter=adapter(zero_b=0, **changes)))
    assert (one and one.severity) == severity


# all of them


def test_each_rule_names_causes_with_something_to_do():
    monitor: Monitor = Settings().monitor(RunContext(dialect="trl", algorithm="grpo"))
    observe(
        monitor,
        facts(
            compared=compared(),
            faults=["x is missing"],
            non_finite=[NonFiniteTensor(name="w", nan=1)],
            non_finite_tensors=1,
            adapter=adapter(base=None),
            vocabulary=Vocabulary(embedding_rows=3, config_rows=4),
            optimizer=optimizer(without_state=9),
        ),
    )
    diagnosis = diagnose(monitor)
    loud = [one for one in diagnosis.findings if one.severity != "info"]
    assert len(loud) == 7
    assert all(one.causes and one.remedies for one in loud)
    assert all(math.isfinite(one.confidence) for one in loud)
    assert diagnosis.status == "critical"


def test_from_a_log_alone_the_family_is_told_as_not_checked():
    monitor = Settings().monitor(RunContext())
    unchecked = [one for one in diagnose(monitor).not_checked if one.code.startswith("CKP")]
    assert len(unchecked) == 9
    assert all("rldk checkpoint" in one.how for one in unchecked)
