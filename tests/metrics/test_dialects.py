"""The dialects besides TRL's: the names of their keys, and whose a log is, by the keys of real logs."""

import re
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from rldk.metrics import METRICS
from rldk.metrics.dialects import COMMON, Dialect
from rldk.metrics.dialects.detect import DIALECTS, detect, installed_dialects
from rldk.metrics.dialects.llama_factory import LLAMA_FACTORY
from rldk.metrics.dialects.ms_swift import MS_SWIFT
from rldk.metrics.dialects.openrlhf import OPENRLHF
from rldk.metrics.dialects.sb3 import SB3
from rldk.metrics.dialects.trl import TRL, TRL_0
from rldk.metrics.dialects.verl import VERL
from rldk.metrics.values import measure
from rldk.report.metric_page import found_as, keys_of, nearest

BOUNDS = ("mean", "max", "min")


def bounds(*prefixes: str) -> list[str]:
    return [f"{prefix}/{bound}" for prefix in prefixes for bound in BOUNDS]


# The keys of real logs: verl consoles of 2025 and of early 2025 (a fork that adds `reward/...`).
VERL_2024 = bounds("critic/score", "critic/rewards", "critic/advantages", "critic/returns")
VERL_2024 += bounds("response_length", "prompt_length")
VERL_2024 += ["response_length/clip_ratio", "prompt_length/clip_ratio", "actor/pg_clipfrac", "actor/ppo_kl"]
VERL_2024 += ["actor/grad_norm", "actor/lr", "actor/pg_loss", "timing_s/gen", "timing_s/step", "timing_s/adv"]
VERL_2024 += ["timing_s/update_actor", "timing_per_token_ms/gen", "timing_per_token_ms/adv"]
VERL_FORK = [*VERL_2024, "actor/entropy_loss", "actor/kl_coef", "actor/kl_loss", "timing_s/ref", "mfu/actor"]
VERL_FORK += [f"global_seqlen/{part}" for part in ("min", "max", "minmax_diff", "balanced_min", "mean")]
VERL_FORK += ["reward/mean", "reward/format_error_ratio", "val/test_score/logic_assignment"]
VERL_2025 = [*VERL_2024, *bounds("response_length_non_aborted"), "response_length_non_aborted/clip_ratio"]
VERL_2025 += ["response/aborted_ratio", "actor/entropy", "actor/pg_clipfrac_lower", "perf/mfu/actor"]
VERL_2025 += ["perf/throughput", "perf/time_per_step", "perf/total_num_tokens", "perf/cpu_memory_used_gb"]
VERL_2025 += ["perf/max_memory_allocated_gb", "perf/max_memory_reserved_gb", "training/global_step"]
VERL_2025 += ["training/epoch", "timing_s/generation_timing/max", "val-core/econ_agent/reward/mean@1"]
VERL_CORRECTION = ["training/rollout_probs_diff_mean", "training/rollout_probs_diff_max"]
VERL_CORRECTION += ["training/rollout_probs_diff_std", "training/rollout_actor_probs_pearson_corr"]
VERL_CORRECTION += [
    "rollout_corr/kl",
    "rollout_corr/k3_kl",
    "rollout_corr/chi2_token",
    "rollout_corr/ppl_ratio",
]
VERL_CORRECTION += ["rollout_corr/rollout_is_mean", "rollout_corr/rollout_is_eff_sample_size"]
VERL_CRITIC = [*bounds("critic/values"), "critic/vf_loss", "critic/vf_explained_var", "critic/vf_clipfrac"]
VERL_CRITIC += ["critic/vpred_mean", "critic/grad_norm", "critic/lr", "critic/kl", "critic/kl_coeff"]
VERL_SFT = ["train/loss", "train/grad_norm", "train/lr", "train/mfu", "train/total_tokens(B)", "val/loss"]

OPENRLHF_PPO = ["policy_loss", "actor_lr", "actor_grad_norm", "kl", "logprobs_diff", "ppo_kl"]
OPENRLHF_PPO += ["ppo_clip_ratio", "reward", "return", "response_length", "total_length", "truncated"]
OPENRLHF_PPO += ["response_clip_ratio", "group_reward_std", "entropy_loss", "timing/ppo_train"]
OPENRLHF_PPO += [
    "rollout/reward_mean",
    "rollout/reward_std",
    "critic_loss",
    "values",
    "critic_lr",
    "ptx_loss",
]
OPENRLHF_PREFERENCE = [
    "loss",
    "acc",
    "chosen_reward",
    "reject_reward",
    "lr",
    "grad_norm",
    "loss_mean",
    "acc_mean",
]

TRAINER = ["loss", "grad_norm", "learning_rate", "epoch"]
EVAL = ["eval_loss", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second"]
TRAINER_LOG = ["loss", "lr", "epoch", "current_steps", "total_steps", "percentage"]
SWIFT_STATE = [*TRAINER, *EVAL, "token_acc", "eval_token_acc"]
SWIFT_LOG = [*SWIFT_STATE, "memory(GiB)", "train_speed(iter/s)", "train_loss", "train_runtime"]
PAIRS = [f"{what}/{side}" for what in ("rewards", "logps", "logits") for side in ("chosen", "rejected")]
JUDGED = ["rewards/accuracies", "rewards/margins"]
TRL_DPO = [*TRAINER, *PAIRS, *JUDGED]
TRL_GRPO = [
    *TRAINER,
    "num_tokens",
    "reward",
    "reward_std",
    "kl",
    "rewards/accuracy_reward/mean",
    "completion_length",
]
TRL_GRPO += ["completions/mean_length", "completions/clipped_ratio", "clip_ratio/region_mean", "entropy"]

SB3_ANY = [
    "rollout/ep_rew_mean",
    "rollout/ep_len_mean",
    "time/fps",
    "time/time_elapsed",
    "time/total_timesteps",
]
SB3_ANY += ["train/learning_rate", "train/n_updates"]
SB3_A2C = [*SB3_ANY, "time/iterations", "train/policy_loss", "train/value_loss", "train/entropy_loss"]
SB3_A2C += ["train/explained_variance"]
SB3_DQN = [*SB3_ANY, "time/episodes", "rollout/exploration_rate", "train/loss"]
SB3_PPO = [
    *SB3_ANY,
    "time/iterations",
    "train/approx_kl",
    "train/clip_range",
    "train/clip_fraction",
    "train/loss",
]
SB3_PPO += [
    "train/entropy_loss",
    "train/explained_variance",
    "train/value_loss",
    "train/policy_gradient_loss",
]
SB3_SAC = [*SB3_ANY, "time/episodes", "train/actor_loss", "train/critic_loss", "train/ent_coef"]
SB3_SAC += ["train/ent_coef_loss", "eval/mean_reward", "eval/mean_ep_length"]

LOGS = [
    ("verl", None, VERL_FORK),
    ("verl", None, VERL_2025),
    ("verl", None, [*VERL_2025, *VERL_CORRECTION]),
    ("verl", "ppo", [*VERL_2025, *VERL_CRITIC]),
    ("verl", "sft", VERL_SFT),
    ("openrlhf", "ppo", OPENRLHF_PPO),
    ("openrlhf", "ppo", [f"train/{key}" for key in OPENRLHF_PPO]),
    ("openrlhf", "dpo", OPENRLHF_PREFERENCE),
    ("openrlhf", "dpo", [*OPENRLHF_PREFERENCE, "nll_loss"]),
    ("openrlhf", "sft", ["gpt_loss", "lr", "grad_norm", "loss_mean"]),
    ("openrlhf", "kto", ["kto_loss", "chosen_reward", "reject_reward", "loss_mean", "kl"]),
    ("llama-factory", None, TRAINER_LOG),
    ("llama-factory", "dpo", [*TRAINER_LOG, "accuracy"]),
    ("llama-factory", "dpo", ["loss", "lr", "epoch", "accuracy"]),
    ("llama-factory", None, ["loss", "lr", "epoch"]),
    ("llama-factory", "ppo", [*TRAINER_LOG, "reward", "throughput", "total_tokens", "vram_allocated"]),
    ("ms-swift", "sft", SWIFT_STATE),
    ("ms-swift", "sft", SWIFT_LOG),
    ("ms-swift", "dpo", [*TRL_DPO, "memory(GiB)", "train_speed(s/it)"]),
    ("ms-swift", "grpo", [*TRL_GRPO, "memory(GiB)", "train_speed(s/it)", "entropy/max", "num_turns"]),
    ("ms-swift", "reward", [*TRAINER, *PAIRS[:2], *JUDGED, "memory(GiB)", "train_speed(s/it)"]),
    ("sb3", "a2c", SB3_A2C),
    ("sb3", "dqn", SB3_DQN),
    ("sb3", "ppo", SB3_PPO),
    ("sb3", "sac", SB3_SAC),
    ("sb3", None, SB3_ANY),
    ("trl", None, TRAINER),
    ("trl", None, [*TRAINER, *EVAL]),
    ("trl", None, ["loss", "learning_rate", "epoch"]),
    ("trl", None, ["loss", "epoch"]),
    ("trl", "dpo", TRL_DPO),
    ("trl", "grpo", TRL_GRPO),
    # With the prefix that the Trainer puts before its keys for W&B and TensorBoard.
    ("trl", None, [f"train/{key}" for key in TRAINER]),
    ("trl", "grpo", [f"train/{key}" for key in TRL_GRPO]),
    ("trl", None, ["train/loss", "train/learning_rate"]),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "algorithm", "keys"), LOGS)
def test_a_log_is_known_by_its_keys(dialect: str, algorithm: str | None, keys: Collection[str]) -> None:
    for order in (list(keys), list(reversed(keys))):
        found, told = detect(order)
        assert found is not None
        assert (found.name, told) == (dialect, algorithm)


def test_no_keys_and_foreign_keys_are_nobodys() -> None:
    assert detect([]) == (None, None)
    assert detect(["my_metric", "Loss"]) == (None, None)
    assert detect(["my_metric"], "sb3") == (SB3, None)


def test_the_likelier_dialect_goes_first() -> None:
    likelier, others = list(DIALECTS)[:4], list(DIALECTS)[4:]
    assert likelier == ["trl", "trl-early", "verl", "openrlhf"]
    assert others == sorted(others)
    assert all(COMMON in dialect.by_algorithm for dialect in DIALECTS.values() if dialect.by_algorithm)


@pytest.mark.parametrize(("dialect", "algorithm", "keys"), LOGS)
def test_two_keys_of_one_log_never_share_a_name(dialect: str, algorithm: str | None, keys: list[str]) -> None:
    names = [DIALECTS[dialect].canonical(key, algorithm) for key in keys]
    assert len(set(names)) == len(set(keys))


@pytest.mark.parametrize("dialect", [VERL, OPENRLHF, LLAMA_FACTORY, SB3], ids=lambda dialect: dialect.name)
def test_two_keys_share_a_name_only_where_a_log_has_one_of_them(dialect: Dialect) -> None:
    two_versions = {"entropy_mean", "kl_mean", "kl_coef", "actor_mfu", "critic_mfu"}
    for names in dialect.by_algorithm.values():
        keys = {key.removeprefix("train/"): name for key, name in names.items()}
        shared = {name for name in keys.values() if [*keys.values()].count(name) > 1}
        assert shared <= (two_versions if dialect is VERL else set())


def test_where_one_quantity_has_two_keys_in_a_log_the_second_keeps_its_own() -> None:
    logs = {"actor/entropy": 1.0, "actor/entropy_loss": 2.0}
    assert measure(logs, VERL.reader()) == ({"entropy_mean": 1.0, "actor/entropy_loss": 2.0}, [])


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_every_name_is_a_canonical_metric(dialect: Dialect) -> None:
    for names in (dialect.names, *dialect.by_algorithm.values()):
        assert set(names.values()) <= METRICS.keys()


@pytest.mark.parametrize("dialect", [VERL, OPENRLHF, SB3], ids=lambda dialect: dialect.name)
def test_a_key_that_is_kept_is_a_metric(dialect: Dialect) -> None:
    kept = {key for key, name in dialect.names.items() if "/" in name and not key.startswith("train/")}
    assert all(dialect.names[key] == key for key in kept)
    for key in (
        "val-core/math/acc/best@8/mean",
        "val/test_score/gsm8k",
        "timing_s/ref",
        "rollout_corr/ppl_ratio",
    ):
        assert VERL.canonical(key) == key
        assert VERL.knows(key)


@pytest.mark.parametrize(
    ("dialect", "algorithm", "key", "name"),
    [
        (VERL, None, "critic/score/mean", "reward_mean"),
        (VERL, None, "critic/rewards/mean", "rlhf_reward_mean"),
        (VERL, None, "actor/kl_loss", "kl_mean"),
        (VERL, None, "response_length/mean", "completion_length_mean"),
        (VERL, None, "response_length/clip_ratio", "truncated_frac"),
        (VERL, None, "actor/lr", "lr"),
        (VERL, "ppo", "critic/lr", "critic_lr"),
        (VERL, "ppo", "critic/vf_loss", "value_loss_mean"),
        (OPENRLHF, "ppo", "kl", "kl_mean"),
        (OPENRLHF, "kto", "kl", "kl_reference_point_mean"),
        (OPENRLHF, "ppo", "train/reward", "reward_mean"),
        (OPENRLHF, "dpo", "acc", "rewards_accuracies"),
        (OPENRLHF, "reward", "acc", "reward_model_accuracy"),
        (LLAMA_FACTORY, "dpo", "accuracy", "rewards_accuracies"),
        (MS_SWIFT, "sft", "token_acc", "token_accuracy_mean"),
        (MS_SWIFT, "sft", "eval_token_acc", "eval_token_accuracy_mean"),
        (MS_SWIFT, "reward", "rewards/accuracies", "reward_model_accuracy"),
        (MS_SWIFT, None, "rewards/chosen", "rewards_chosen"),
        (SB3, "ppo", "train/approx_kl", "approx_kl_mean"),
        (SB3, "ppo", "train/learning_rate", "lr"),
        (SB3, "ppo", "eval/mean_reward", "eval/mean_reward"),
    ],
)
def test_names(dialect: Dialect, algorithm: str | None, key: str, name: str) -> None:
    assert dialect.canonical(key, algorithm) == name


def test_different_quantities_have_different_names() -> None:
    # A difference of probabilities is no difference of their logarithms.
    assert VERL.canonical("training/rollout_probs_diff_mean") != "sampling_logp_difference_mean"
    # The policy against itself before the update is not against the reference.
    assert VERL.canonical("actor/ppo_kl") == OPENRLHF.canonical("ppo_kl") != "kl_mean"
    # Minus the entropy; an error not halved; clipping whatever the advantage.
    assert SB3.canonical("train/entropy_loss") != OPENRLHF.canonical("entropy_loss") == "entropy_mean"
    assert SB3.canonical("train/value_loss") != OPENRLHF.canonical("critic_loss") == "value_loss_mean"
    assert SB3.canonical("train/clip_fraction") != VERL.canonical("actor/pg_clipfrac") == "clip_frac"
    # The reward of an episode is not that of a completion, and a shaped one not that of the task.
    assert SB3.canonical("rollout/ep_rew_mean") != "reward_mean"
    assert OPENRLHF.canonical("return") not in ("reward_mean", "rlhf_reward_mean")
    # A mean over tokens is none over completions.
    assert VERL.canonical("critic/advantages/mean") != TRL.canonical("advantage", "a2po")


def test_the_same_quantity_has_the_same_name() -> None:
    assert VERL.canonical("actor/pg_loss") == OPENRLHF.canonical("policy_loss")
    assert VERL.canonical("actor/pg_clipfrac") == OPENRLHF.canonical("ppo_clip_ratio")
    assert VERL.canonical("rollout_corr/kl") == OPENRLHF.canonical("vllm_kl")
    assert VERL.canonical("critic/vf_explained_var") == SB3.canonical("train/explained_variance")
    assert VERL.canonical("tool_call_counts/mean") == TRL.canonical("tools/call_frequency")


def test_ms_swift_reads_the_keys_of_trl_as_trl_does() -> None:
    for algorithm, names in MS_SWIFT.by_algorithm.items():
        expected = TRL_0 if algorithm == "grpo" else TRL
        for key, name in expected.by_algorithm[algorithm].items():
            if algorithm != "reward" or not re.match("(min|max|mean)_reward|margin|accuracy|num_tokens", key):
                assert names[key] == name, (algorithm, key)


# Dialects of other packages

SOURCE = """
from rldk.metrics.dialects import Dialect

MINE = Dialect({name!r}, {{"score/avg": "reward_mean", "kl_to_ref": "kl_mean"}}, title="MyRL")
"""


def install(installed: Callable[..., Path], name: str = "mine") -> None:
    installed("rldk.dialects", "mine = plugin_a:MINE", plugin_a=SOURCE.format(name=name))


def test_a_dialect_of_a_plug_in_needs_no_algorithms(installed: Callable[..., Path]) -> None:
    install(installed)
    assert [*installed_dialects()] == [*DIALECTS, "mine"]
    mine = installed_dialects()["mine"]
    assert mine.tables == {COMMON: mine.names}
    assert detect(["score/avg", "kl_to_ref", "loss"]) == (mine, None)
    assert detect(["other"], "mine") == (mine, None)
    assert detect(["loss", "reward", "kl"])[0] is TRL


def test_pages_know_a_dialect_of_a_plug_in(installed: Callable[..., Path]) -> None:
    install(installed)
    (reward,) = found_as("score/avg")
    assert reward.name == "reward_mean"
    assert ("MyRL", "score/avg") in keys_of(reward)
    assert "kl_to_ref" in nearest("kl_to_reff")


def test_a_name_of_rldk_stays_with_rldk(
    installed: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    install(installed, name="verl")
    assert installed_dialects() == DIALECTS
    assert caplog.messages == ["rldk: the plug-in plugin_a:MINE is left out: there is another 'verl'"]


def test_an_adapter_whose_dialect_is_not_installed_is_read_by_its_keys() -> None:
    assert detect(["actor/entropy", "actor/pg_loss"], "no-such-dialect")[0] is VERL


def test_the_title_of_a_dialect_is_its_name_by_default() -> None:
    assert Dialect("mine", {}).title == "mine"
    assert [dialect.title for dialect in DIALECTS.values()].count("LLaMA-Factory") == 1


@pytest.mark.parametrize(
    ("key", "name", "error"),
    [
        ("score/{function}", "rewards/{functoin}/mean", ValueError),
        ("score/{function}", "rewards/{}/mean", ValueError),
        ("score/{function}", "rewards/{function", ValueError),
        ("score/{function}", "rewards/{function.x}", ValueError),
        ("{a}/{a}", "x/{a}", ValueError),
        ("{0}/x", "x", ValueError),
        ("score/{function}", None, TypeError),
        ("score", 5, TypeError),
        (5, "score", TypeError),
    ],
)
def test_a_name_that_cannot_be_made_of_its_key_is_an_error_when_the_dialect_is_made(
    key: str, name: str, error: type[Exception]
) -> None:
    for tables in ({"names": {key: name}}, {"names": {}, "by_algorithm": {"ppo": {key: name}}}):
        with pytest.raises(error):
            Dialect("mine", **tables)
