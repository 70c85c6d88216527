"""LoRA adapters: size and rank against a real SVD, and configurations against peft."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.files import matrix, save
from rldk.checkpoints import analyse, lora

MODULES = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"]


def adapter(folder, pairs, step=None, **config):
    tensors = {}
    for module, (a, b) in pairs.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = a
        tensors[f"base_model.model.{module}.lora_B.weight"] = b
    save(folder, tensors, name="adapter_model", step=step)
    told = {
        "peft_type": "LORA",
        "base_model_name_or_path": "some/model",
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(told | config))
    return folder


def pairs(rank=4, zero=()):
    return {
        module: (matrix(rank, 30, seed=i), matrix(20, rank, seed=9 + i) * (module not in zero))
        for i, module in enumerate(MODULES)
    }


def test_size_and_stable_rank_are_those_of_the_product(tmp_path):
    made = pairs()
    found = analyse(adapter(tmp_path, made)).adapter
    products = [b.astype(np.float64) @ a.astype(np.float64) for a, b in made.values()]
    stable = [np.linalg.norm(m) ** 2 / np.linalg.norm(m, 2) ** 2 for m in products]
    assert found.update == pytest.approx(2 * np.sqrt(sum(np.linalg.norm(m) ** 2 for m in products)), rel=1e-5)
    assert found.stable_rank == pytest.approx(np.median(stable), rel=1e-5)
    assert (found.r, found.alpha, found.scale, found.modules, found.zero_b) == (4, 8.0, 2.0, 2, 0)


@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1e-12, 1e-3, 1.0, 1e6]))
def test_a_product_of_one_direction_has_stable_rank_one(tmp_path_factory, rows, rank, size):
    rng = np.random.default_rng(rows)
    a = np.outer(np.ones(rank), rng.normal(size=rows)).astype(np.float32) * np.float32(size)
    b = rng.normal(size=(9, rank)).astype(np.float32)
    found = analyse(adapter(tmp_path_factory.mktemp("one"), {MODULES[0]: (a, b)})).adapter
    assert found.stable_rank == pytest.approx(1.0, rel=1e-3)


def test_the_update_is_measured_against_a_local_base(tmp_path):
    made = pairs()
    base = save(tmp_path / "base", {f"{module}.weight": matrix(20, 30, seed=5) for module in MODULES})
    found = analyse(adapter(tmp_path / "new", made), base=base)
    norm = np.sqrt(2) * np.linalg.norm(matrix(20, 30, seed=5))
    assert found.adapter.update_share == pytest.approx(found.adapter.update / norm, rel=1e-5)
    assert found.compared is None


def test_rslora_scales_by_the_root_of_the_rank(tmp_path):
    assert analyse(adapter(tmp_path, pairs(), use_rslora=True)).adapter.scale == 4.0


def test_zero_lora_b_is_counted_by_module(tmp_path):
    assert analyse(adapter(tmp_path / "one", pairs(zero=MODULES[:1]))).adapter.zero_b == 1
    both = analyse(adapter(tmp_path / "both", pairs(zero=MODULES))).adapter
    assert (both.zero_b, both.stable_rank, both.update) == (2, None, 0.0)


@pytest.mark.parametrize(
    ("config", "unmatched", "untargeted"),
    [
        ({}, [], []),
        ({"target_modules": "all-linear"}, [], []),
        ({"target_modules": r".*\.(q|v)_proj"}, [], []),
        ({"target_modules": ["self_attn.q_proj", "v_proj", "w1"]}, ["w1"], []),
        ({"target_modules": ["q_proj"]}, [], MODULES[1:]),
        ({"target_modules": ["proj"]}, ["proj"], MODULES),
    ],
)
def test_target_modules_match_as_in_peft(tmp_path, config, unmatched, untargeted):
    found = analyse(adapter(tmp_path, pairs(), **config)).adapter
    assert (found.unmatched_targets, found.untargeted) == (unmatched, untargeted)


def test_ranks_are_those_of_the_configuration_or_of_its_pattern(tmp_path):
    wrong = analyse(adapter(tmp_path / "wrong", pairs(rank=3))).adapter
    assert wrong.wrong_rank == [f"{module} has rank 3" for module in MODULES]
    meant = analyse(adapter(tmp_path / "meant", pairs(rank=3), rank_pattern={"q_proj": 3})).adapter
    assert meant.wrong_rank == []


def test_experts_in_one_tensor_are_not_taken_for_a_layer(tmp_path):
    """peft 0.21: `target_parameters` give one lora_A of rank r times experts, under the module's name."""
    module = "model.layers.0.mlp.experts"
    made = {name: (matrix(16, 30), matrix(20, 16)) for name in (module, f"{module}.base_layer")}
    meant = {"target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]}
    found = analyse(adapter(tmp_path, pairs() | made, **meant)).adapter
    assert (found.untargeted, found.wrong_rank, found.unpaired, found.modules) == ([], [], [], 4)
    assert (found.update, found.stable_rank) == (None, None)


def test_a_module_that_is_too_large_to_measure_may_still_be_zero(tmp_path, monkeypatch):
    monkeypatch.setattr(lora, "MAX_ELEMENTS", 130)
    made = pairs(zero=MODULES)
    made[MODULES[1]] = (matrix(4, 30), np.zeros((40, 4), np.float32))
    found = analyse(adapter(tmp_path, made))
    assert (found.adapter.zero_b, found.adapter.modules) == (2, 2)
    assert found.notes == [
        f"size and rank of 1 of 2 modules of the adapter: {MODULES[1]}, lora_B has more than 130 elements"
    ]


def test_a_pair_of_a_hostile_rank_is_not_multiplied(tmp_path):
    rank = 1_000_000  # its square would take 8 TB
    made = pairs() | {MODULES[1]: (np.ones((rank, 1), np.float32), np.ones((1, rank), np.float32))}
    found = analyse(adapter(tmp_path, made))
    assert "a rank of 1,000,000 is above 1,024" in found.notes[0]
    assert found.adapter.update > 0


@pytest.mark.parametrize("error", [MemoryError(), np.linalg.LinAlgError("not positive definite")])
def test_a_pair_that_cannot_be_multiplied_costs_its_numbers_alone(tmp_path, monkeypatch, error):
    def failing(*_):
        raise error

    monkeypatch.setattr(lora, "_measure", failing)
    found = analyse(adapter(tmp_path, pairs()))
    assert found.adapter.modules == 2
    assert "size and rank of 2 of 2 modules" in found.notes[0]


def test_half_a_pair_is_named(tmp_path):
    save(tmp_path, {f"base_model.model.{MODULES[0]}.lora_A.weight": matrix(4, 30)}, name="adapter_model")
    assert analyse(tmp_path).adapter.unpaired == MODULES[:1]


def test_nan_in_an_adapter_leaves_its_rank_unknown(tmp_path):
    made = pairs()
    for a, _ in made.values():
        a[0, 0] = np.nan
    found = analyse(adapter(tmp_path, made))
    assert found.non_finite_tensors == 2
    assert found.adapter.stable_rank is None
