"""What lies in a folder: which state of the training is there, and how the learning rate went."""

import json

import pytest

from rldk.checkpoints.folder import contents_of, progress_of, state_of

ALL = ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]


@pytest.mark.parametrize(
    ("names", "state", "missing"),
    [
        (ALL, "whole", []),
        ([], "weights", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]),
        (["trainer_state.json"], "weights", ["optimizer.pt", "scheduler.pt", "rng_state.pth"]),
        (ALL[1:], "partial", ["optimizer.pt"]),
        ([*ALL[:2], "rng_state_0.pth", "rng_state_1.pth", ALL[3]], "whole", []),
        ([*ALL[:2], "rng_state_0.pth", "rng_state_2.pth", ALL[3]], "partial", ["rng_state_1.pth"]),
        (["optimizer.bin", *ALL[1:]], "whole", []),  # FSDP, gathered
        (["optimizer_0", *ALL[2:]], "whole", []),  # FSDP, in shards
        (["global_step40", "latest", "rng_state_0.pth", "trainer_state.json"], "whole", []),  # DeepSpeed
    ],
)
def test_the_state_of_a_training(names, state, missing):
    assert state_of(names) == (state, missing)


@pytest.mark.parametrize(
    ("names", "parts", "faults"),
    [
        (["model.safetensors", "model-00001-of-00002.safetensors"], ["model.safetensors"], 0),
        (["model-00001-of-00002.safetensors"], ["model-00001-of-00002.safetensors"], 1),
        (["adapter_model.safetensors", "adapter_config.json"], ["adapter_model.safetensors"], 0),
        (["adapter_config.json"], [], 1),
        (["trainer_state.json"], [], 1),
        (["trainer_state.json", "pytorch_model.bin"], [], 0),
        (["trainer_state.json", "pytorch_model_fsdp_0"], [], 0),
        (["photo.png"], [], 0),
    ],
)
def test_weights_by_their_names(tmp_path, names, parts, faults):
    contents = contents_of(str(tmp_path), names)
    assert (contents.parts, len(contents.faults)) == (parts, faults)


def test_shards_by_their_index_which_may_name_no_other_folder(tmp_path):
    index = {"weight_map": {"a": "model-1.safetensors", "b": "../../etc/passwd"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    contents = contents_of(str(tmp_path), ["model.safetensors.index.json", "model-1.safetensors"])
    assert contents.parts == ["model-1.safetensors"]
    assert contents.faults == ["../../etc/passwd, which model.safetensors.index.json lists, is missing"]


def test_the_learning_rate_so_far(tmp_path):
    log = [
        {"step": 10, "learning_rate": 0.0, "loss": 1.0},
        {"step": 20, "learning_rate": 1e-3, "loss": float("nan")},
        {"step": 30, "learning_rate": 0.9e-3},
        {"step": 30, "eval_loss": 2.0},
    ]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"global_step": 33, "log_history": log}))
    progress, rates, best = progress_of(str(tmp_path))
    assert (progress.step, progress.logged_step, progress.logged_lr) == (33, 30, 0.9e-3)
    assert progress.updates == 20
    assert progress.steepest == pytest.approx(1e-4)
    assert rates == [(10, 0.0), (20, 1e-3), (30, 0.9e-3)]
    assert best is None


def test_a_state_that_cannot_be_read_is_told(tmp_path):
    assert progress_of(str(tmp_path)) == (None, [], None)
    (tmp_path / "trainer_state.json").write_text('{"global_step": 3')
    assert "cut short" in progress_of(str(tmp_path))[0].fault
