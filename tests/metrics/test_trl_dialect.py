"""What each trainer of TRL logs, as seen in real runs and sources, and the names it must get."""

import dataclasses
import re
import sys

import pytest

from rldk.metrics import METRICS
from rldk.metrics.dialects import MEMO_LIMIT, Dialect
from rldk.metrics.dialects.trl import TRL, TRL_0

CHOSEN_REJECTED = ("chosen", "rejected")
TRAINER = ["loss", "grad_norm", "learning_rate", "epoch"]
SUMMARY = ["train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos"]
SUMMARY += ["train_loss", "epoch"]
PAIRS = [f"{what}/{side}" for what in ("rewards", "logps") for side in CHOSEN_REJECTED]
LOGITS = [f"logits/{side}" for side in CHOSEN_REJECTED]
JUDGED = ["rewards/margins", "rewards/accuracies"]
COMPLETIONS = [f"completions/{bound}_length" for bound in ("mean", "min", "max")]
TERMINATED = [f"completions/{bound}_terminated_length" for bound in ("mean", "min", "max")]
REWARDS = ["reward", "reward_std", "frac_reward_zero_std"]
REWARDS += [f"rewards/{name}/{moment}" for name in ("len", "chosen") for moment in ("mean", "std")]
CLIPPING = ["low_mean", "low_min", "high_mean", "high_max", "region_mean"]
CLIP_RATIOS = [f"clip_ratio/{part}" for part in CLIPPING]
GROUPS = [*TRAINER, "num_tokens", "completions/clipped_ratio", *COMPLETIONS, *TERMINATED, *REWARDS]
ROLLOUT = [*GROUPS, "kl", "entropy", *CLIP_RATIOS]
RATIO = "sampling/importance_sampling_ratio/"
SAMPLING = [f"sampling/sampling_logp_difference/{moment}" for moment in ("mean", "max")]
SAMPLING += [RATIO + moment for moment in ("min", "mean", "max")]
OBJECTIVE = [f"objective/{part}" for part in ("kl", "entropy", "non_score_reward", "rlhf_reward")]
OBJECTIVE += ["objective/scores"]
TOOLS = ["tools/call_frequency", "tools/failure_frequency"]
LABELLED = ["entropy", "num_tokens", "mean_token_accuracy"]

# Each line is one log that one trainer can write: the algorithm, and all its keys.
LOGS_OF_TRL_1 = [
    ("grpo", [*ROLLOUT, "step_time", *SAMPLING, *TOOLS]),
    ("grpo", [*GROUPS, "entropy", "cispo_clip_ratio", "policy_loss", "entropy_coef", "aux_loss"]),
    ("grpo", [*GROUPS, "entropy", "vespo/phi_seq_mean"]),
    ("grpo", [*ROLLOUT, "num_input_tokens_seen", "train_runtime", "train_tokens_per_second"]),
    ("grpo", SUMMARY),
    ("gmpo", [*ROLLOUT, "step_time"]),
    ("rloo", [*ROLLOUT, "step_time", "aux_loss"]),
    ("dpo", [*TRAINER, *PAIRS, *LOGITS, *JUDGED, *LABELLED, "aux_loss"]),
    ("sft", [*TRAINER, *LABELLED, "aux_loss"]),
    ("reward", [*TRAINER, "num_tokens", "min_reward", "mean_reward", "max_reward"]),
    ("reward", [*TRAINER, "accuracy", "margin"]),
    ("kto", [*TRAINER, "kl", *PAIRS, *LOGITS, "rewards/margins", "entropy", "num_tokens"]),
    ("async_grpo", [*TRAINER, "ratio", "kl", "entropy", *CLIP_RATIOS, "reward", "reward_std"]),
    ("async_grpo", [*TRAINER, "rewards/chosen", "sample/staleness_mean", "sample/staleness_max"]),
    ("async_grpo", ["perf/step_s", "perf/fwd_bwd_s", "perf/rollout_wait_s", "perf/weight_sync_s"]),
    ("distillation", [*TRAINER, "num_tokens", *COMPLETIONS, *TERMINATED, *TOOLS, "entropy"]),
    ("sdpo", [*TRAINER, *COMPLETIONS, "self_distillation/reward_mean"]),
    ("tpo", [*TRAINER, *PAIRS, *LOGITS, *JUDGED, *LABELLED]),
    ("a2po", [*TRAINER, "reward", "v_star", "implicit_reward", "advantage"]),
]
LOGS_OF_TRL_0 = [
    ("grpo", [*ROLLOUT, *SAMPLING]),
    ("grpo", [*GROUPS, "kl", "clip_ratio"]),
    ("rloo", ROLLOUT),
    ("dpo", [*TRAINER, *PAIRS, *LOGITS, *JUDGED, "nll_loss", "aux_loss"]),
    ("sft", [*TRAINER, *LABELLED]),
    ("reward", [*TRAINER]),
    ("kto", [*TRAINER, "kl", *PAIRS, *LOGITS, "rewards/margins"]),
    ("bco", [*TRAINER, "delta", *PAIRS, *LOGITS, "rewards/margins"]),
    ("gkd", TRAINER),
    ("prm", TRAINER),
    ("ppo", [*OBJECTIVE, "policy/approxkl_avg", "policy/clipfrac_avg", "policy/entropy_avg", "lr",
             "loss/policy_avg", "loss/value_avg", "val/clipfrac_avg", "val/ratio", "val/ratio_var",
             "val/num_eos_tokens", "eps", "episode", "epoch"]),
    ("xpo", [*TRAINER, *PAIRS, *JUDGED, "loss/dpo", "loss/xpo", "objective/kl", "alpha", "beta",
             "objective/entropy", "objective/model_scores", "objective/ref_scores",
             "objective/scores_margin", "val/model_contain_eos_token",
             "val/ref_contain_eos_token"]),
    ("nash_md", [*TRAINER, *PAIRS, *JUDGED, "loss/score", "loss/kl", "rewards/probabilities",
                 "objective/entropy", "val/model_contain_eos_token", "val/ref_contain_eos_token",
                 "beta", "mixture_coef"]),
]  # fmt: skip
LOGS_OF_BOTH = [
    ("online_dpo", [*TRAINER, *OBJECTIVE, "objective/scores_margin", *PAIRS, *JUDGED, "beta",
                    "val/contain_eos_token"]),
    ("cpo", [*TRAINER, *PAIRS, *LOGITS, *JUDGED, "nll_loss"]),
    ("orpo", [*TRAINER, *PAIRS, *LOGITS, *JUDGED, "nll_loss", "log_odds_ratio",
              "log_odds_chosen"]),
]  # fmt: skip
LOGS = [(TRL, *log) for log in LOGS_OF_TRL_1 + LOGS_OF_BOTH]
LOGS += [(TRL_0, *log) for log in LOGS_OF_TRL_0 + LOGS_OF_BOTH]


@pytest.mark.parametrize(("dialect", "algorithm", "keys"), LOGS)
def test_every_key_of_a_log_has_a_canonical_name(dialect: Dialect, algorithm: str, keys: list[str]) -> None:
    for key in keys:
        name = dialect.canonical(key, algorithm)
        of_a_function = re.fullmatch(r"rewards/[^/]+/(mean|std)", name)
        filed_as = f"rewards/{{function}}/{of_a_function[1]}" if of_a_function else name
        assert filed_as in METRICS, (key, name)


@pytest.mark.parametrize(("dialect", "algorithm", "keys"), LOGS)
def test_two_keys_of_one_log_never_share_a_name(dialect: Dialect, algorithm: str, keys: list[str]) -> None:
    names = [dialect.canonical(key, algorithm) for key in keys]
    assert len(set(names)) == len(set(keys))


@pytest.mark.parametrize(("dialect", "algorithm", "keys"), LOGS)
def test_an_evaluation_keeps_its_prefix(dialect: Dialect, algorithm: str, keys: list[str]) -> None:
    for key in keys:
        name = dialect.canonical(key, algorithm)
        assert dialect.canonical(f"eval_{key}", algorithm) == f"eval_{name}"


@pytest.mark.parametrize(
    ("algorithm", "key", "name"),
    [
        ("grpo", "reward", "reward_mean"),
        ("grpo", "reward_std", "reward_std"),
        ("grpo", "kl", "kl_mean"),
        ("rloo", "kl", "kl_mean"),
        ("grpo", "entropy", "entropy_mean"),
        ("grpo", "clip_ratio/region_mean", "clip_frac"),
        ("grpo", "clip_ratio/low_mean", "clip_frac_low_mean"),
        ("grpo", "learning_rate", "lr"),
        ("ppo", "lr", "lr"),
        ("sft", "grad_norm", "grad_norm"),
        ("sft", "loss", "loss"),
        ("grpo", "completions/clipped_ratio", "truncated_frac"),
        ("grpo", "frac_reward_zero_std", "frac_reward_zero_std"),
        ("grpo", "sampling/sampling_logp_difference/mean", "sampling_logp_difference_mean"),
        ("dpo", "rewards/chosen", "rewards_chosen"),
        ("dpo", "rewards/accuracies", "rewards_accuracies"),
    ],
)
def test_names_fixed_by_the_specification(algorithm: str, key: str, name: str) -> None:
    assert TRL.canonical(key, algorithm) == name
    assert TRL_0.canonical(key, algorithm) == name


def names_of(key: str, *algorithms: str, dialect: Dialect = TRL) -> set[str]:
    return {dialect.canonical(key, algorithm) for algorithm in algorithms}


def test_one_key_with_two_meanings_gets_two_names() -> None:
    assert len(names_of("kl", "grpo", "kto", "async_grpo")) == 3
    assert len(names_of("logps/chosen", "dpo", "orpo", "xpo", "nash_md")) == 4
    assert len(names_of("rewards/chosen", "dpo", "cpo", "orpo", "nash_md")) == 4
    assert len(names_of("rewards/accuracies", "dpo", "cpo", "orpo", "nash_md")) == 4
    assert len(names_of("logits/chosen", "dpo", "cpo")) == 2
    assert len(names_of("nll_loss", "cpo", "orpo")) == 2
    assert len(names_of("accuracy", "reward", "prm")) == 2


def test_one_quantity_under_two_keys_gets_one_name() -> None:
    assert names_of("objective/scores", "ppo", "online_dpo") == names_of("reward", "grpo")
    assert names_of("policy/clipfrac_avg", "ppo") == names_of("clip_ratio/region_mean", "grpo")
    assert names_of("loss/kl", "nash_md") == names_of("objective/kl", "ppo", "online_dpo", "xpo")
    assert names_of("logps/chosen", "dpo", "kto", "bco", "cpo", "online_dpo") == {"logps_chosen"}
    assert names_of("rewards/chosen", "dpo", "kto", "online_dpo", "xpo") == {"rewards_chosen"}


def test_a_sum_over_the_sequence_is_no_mean_over_tokens() -> None:
    assert TRL.canonical("objective/kl", "ppo") == "kl_sequence_mean"
    entropies = {TRL.canonical("entropy", "grpo"), *names_of("objective/entropy", "ppo")}
    assert len(entropies | names_of("policy/entropy_avg", "ppo")) == 3


def test_the_versions_of_trl_differ_only_where_a_meaning_changed() -> None:
    differences = {
        (algorithm, key)
        for algorithm, names in TRL.by_algorithm.items()
        for key, name in names.items()
        if TRL_0.by_algorithm[algorithm][key] != name
    }
    extremes = ("clip_ratio/low_min", "clip_ratio/high_max")
    assert differences == {
        *((algorithm, key) for algorithm in ("grpo", "rloo") for key in extremes),
        *(("kto", key) for key in LOGITS),
    }


def test_a_derived_trainer_reads_as_its_parent() -> None:
    for key in ROLLOUT:
        assert TRL.canonical(key, "gmpo") == TRL.canonical(key, "grpo")


def test_a_reward_function_may_be_called_anything() -> None:
    for function in ("chosen", "accuracies", "a/b", "{x}", "MixedCase", "<lambda>"):
        key = f"rewards/{function}/mean"
        assert TRL.canonical(key, "grpo") == key
        assert TRL.canonical(f"eval_{key}", "grpo") == f"eval_{key}"
    assert TRL.canonical("rewards/chosen", "grpo") == "rewards/chosen"
    assert TRL.canonical("rewards/chosen", "async_grpo") == "rewards/chosen/mean"


@pytest.mark.parametrize("key", ["my_metric", "eval_my_metric", "eval_", "", "math_loss", "Loss"])
@pytest.mark.parametrize("algorithm", ["grpo", "ppo", "unheard_of", None])
def test_an_unknown_key_is_unchanged(key: str, algorithm: str | None) -> None:
    assert TRL.canonical(key, algorithm) == key


def test_a_users_own_metric_is_not_taken_for_another_trainers() -> None:
    for key in ("accuracy", "margin", "delta", "alpha", "nll_loss"):
        assert TRL.canonical(key, "grpo") == key


def test_without_an_algorithm_the_common_reading_holds() -> None:
    assert TRL.canonical("kl") == "kl_mean"
    assert TRL.canonical("kl", "unheard_of") == "kl_mean"
    assert TRL.canonical("rewards/chosen") == "rewards_chosen"
    assert TRL.canonical("accuracy") == "reward_model_accuracy"


def test_endless_new_keys_do_not_grow_the_memory() -> None:
    dialect = Dialect(name="small", names={"a": "b"})
    for number in range(10 * MEMO_LIMIT):
        key = f"key_{number}"
        assert dialect.canonical(key) == key
    assert sum(len(known) for known in dialect._memo.values()) <= MEMO_LIMIT
    for number in range(2 * MEMO_LIMIT):
        dialect.canonical("a", f"algorithm_{number}")
    assert len(dialect._memo) <= MEMO_LIMIT
    assert dialect.canonical("a") == "b"


def test_many_prefixes_end() -> None:
    prefixes = "eval_" * (2 * sys.getrecursionlimit())
    assert TRL.canonical(prefixes + "kl", "grpo") == prefixes + "kl_mean"


def test_a_pattern_carries_its_part_over_and_yields_to_an_exact_key() -> None:
    dialect = Dialect(name="other", names={"val/{data}/acc": "accuracy_{data}", "val/x/acc": "x"})
    assert dialect.canonical("val/math.500/acc") == "accuracy_math.500"
    assert dialect.canonical("val/x/acc") == "x"
    assert dialect.canonical("val//acc") == "val//acc"
    assert dialect.canonical("val/math/acc/more") == "val/math/acc/more"


def test_a_dialect_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TRL.name = "else"  # type: ignore[misc]
