"""The table of canonical metrics: well-formed names, honest sentences, no dead rows."""

import re
from collections.abc import Iterator

import msgspec
import pytest

from rldk.metrics import METRICS, Metric
from rldk.metrics.dialects import Dialect
from rldk.metrics.dialects.detect import DIALECTS
from rldk.metrics.dialects.trl import TRL_0

SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
OURS = re.compile(r"resource/|samples/|reward_functions/\{function\}/")
"""What rldk measures itself."""
FUNCTION_METRICS = {"rewards/{function}/mean", "rewards/{function}/std"}


def names_given_by(dialect: Dialect) -> Iterator[str]:
    yield from dialect.names.values()
    for names in dialect.by_algorithm.values():
        yield from names.values()


def test_a_metric_is_filed_under_its_name() -> None:
    assert all(name == metric.name for name, metric in METRICS.items())


def test_a_name_is_snake_case_or_the_key_of_a_trainer() -> None:
    kept = {key for dialect in DIALECTS.values() for key, name in dialect.names.items() if key == name}
    for name in METRICS:
        own = OURS.sub("", name).replace("{index}", "0")
        assert SNAKE_CASE.fullmatch(own) or ("/" in name and name in kept), name


def test_only_kept_keys_are_patterns() -> None:
    patterns = {name for name in METRICS if "{" in name}
    assert patterns > FUNCTION_METRICS
    assert all("/" in name for name in patterns)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_meaning_is_one_sentence(metric: Metric) -> None:
    assert metric.meaning.endswith(".")
    assert not re.search(r"[.!?]\s", metric.meaning)
    assert "\n" not in metric.meaning
    assert metric.meaning == metric.meaning.strip()
    assert metric.meaning[0].isupper() or metric.meaning[0] == "`"


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_meaning_names_only_metrics_that_exist(metric: Metric) -> None:
    settings = {"include_num_input_tokens_seen", "scale_rewards", "cpo_alpha", "alpha"}
    settings |= {"loss_agg_mode", "stats_window_size", "learn", "max_completion_length"}
    assert set(re.findall(r"`([^`]+)`", metric.meaning)) <= METRICS.keys() | settings


def test_shares_are_fractions_and_times_are_seconds() -> None:
    for name, metric in METRICS.items():
        if name.endswith("_frac") or "_frac_" in name:
            assert metric.unit == "fraction", name
        if name.endswith("_time"):
            assert metric.unit == "seconds", name


def test_quantities_without_a_good_direction_have_none() -> None:
    for name in ("entropy_mean", "kl_mean", "lr", "grad_norm", "completion_length_mean"):
        assert METRICS[name].direction == "none"
    assert METRICS["clip_frac"].direction == "none"
    assert METRICS["reward_mean"].direction == "up"


def test_every_metric_is_reached_and_every_name_exists() -> None:
    given = {name for dialect in (*DIALECTS.values(), TRL_0) for name in names_given_by(dialect)}
    measured = {name for name in METRICS if OURS.match(name)} | {"reward_time_frac"}
    assert given == METRICS.keys() - measured


def test_a_metric_cannot_be_changed_and_can_be_published() -> None:
    metric = METRICS["kl_mean"]
    with pytest.raises(AttributeError):
        metric.unit = "bits"  # type: ignore[misc]
    assert msgspec.json.decode(msgspec.json.encode(metric), type=Metric) == metric
