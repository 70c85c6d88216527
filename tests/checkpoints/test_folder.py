"""What lies in a folder: which state of the training is there, and how the learning rate went."""

import json
import math

import pytest

from rldk.checkpoints import folder, safe_open
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
        (["config.json", "model.fp16.safetensors"], [], 0),
        (["config.json", "diffusion_pytorch_model.safetensors"], [], 0),
    ],
)
def test_weights_by_their_names(tmp_path, names, parts, faults):
    contents = contents_of(str(tmp_path), names)
    assert (contents.parts, len(contents.faults)) == (parts, faults)


def test_weights_of_another_name_are_noted_with_the_command_that_reads_them(tmp_path):
    notes = contents_of(str(tmp_path), ["config.json", "model.fp16.safetensors"]).notes
    assert notes[0].endswith(f"rldk checkpoint {tmp_path / 'model.fp16.safetensors'}")


def below(place, *names):
    for name in names:
        (place / name).mkdir()
        (place / name / "adapter_config.json").touch()
        (place / name / "adapter_model.safetensors").touch()
    return sorted(path.name for path in place.iterdir())


@pytest.mark.parametrize(
    ("names", "beside", "parts", "faults"),
    [
        (["policy"], [], ["policy/adapter_model.safetensors"], []),
        (["policy"], ["trainer_state.json", "tokenizer.json"], ["policy/adapter_model.safetensors"], []),
        (["ref"], ["adapter_config.json"], [], ["adapter_model.safetensors is missing"]),
        (["ref"], ["config.json"], [], []),  # of no known library
        (["ref"], ["config.json", "training_args.bin"], [], ["model.safetensors is missing"]),
        (["last", "checkpoint-5"], [], [], []),  # a trainer's output_dir
    ],
)
def test_an_adapter_is_looked_for_below_where_none_belongs_here(tmp_path, names, beside, parts, faults):
    held = below(tmp_path, *names)
    contents = contents_of(str(tmp_path), [*held, *beside])
    assert (contents.parts, contents.faults) == (parts, faults)


def test_shards_of_an_adapter_below_are_found_by_their_index(tmp_path):
    names = below(tmp_path, "policy")
    single = tmp_path / "policy" / "adapter_model.safetensors"
    single.rename(single.with_name("adapter_model-1.safetensors"))
    index = {"weight_map": {"a": "adapter_model-1.safetensors"}}
    single.with_name("adapter_model.safetensors.index.json").write_text(json.dumps(index))
    contents = contents_of(str(tmp_path), names)
    assert contents.parts == ["policy/adapter_model-1.safetensors"]
    assert contents.files_of_tensors == {"a": "policy/adapter_model-1.safetensors"}


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


def test_a_long_log_is_read_whatever_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_open, "MAX_JSON", 1000)  # from here on Python's own reader would take too much
    log = [{"step": at, "learning_rate": 1e-3, "loss": math.nan, "nan": "x: NaN"} for at in range(1, 101)]
    log[-1] |= {"a": [math.inf, -math.inf], "learning_rate": math.nan}
    state = {"best_model_checkpoint": "out/checkpoint-3", "global_step": 100, "log_history": log}
    for indent in (None, 2):
        (tmp_path / "trainer_state.json").write_text(json.dumps(state, indent=indent))
        progress, rates, best = progress_of(str(tmp_path))
        assert (progress.fault, progress.unread, progress.step) == (None, None, 100)
        assert (len(rates), best) == (99, "out/checkpoint-3")
    (tmp_path / "trainer_state.json").write_text(json.dumps(state)[:-5])
    assert "cut short" in progress_of(str(tmp_path))[0].fault


def test_a_state_beyond_the_limit_is_unread_and_not_at_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "MAX_STATE", 20)
    (tmp_path / "trainer_state.json").write_text(json.dumps({"global_step": 3, "log_history": []}))
    progress, _, _ = progress_of(str(tmp_path))
    assert (progress.fault, progress.unread) == (None, "it has more than 20 bytes: not read")


def test_numbers_of_another_kind_cost_themselves_alone(tmp_path):
    log = [{"step": 4, "learning_rate": [1e-5, 2e-5]}, {"step": 5.0, "learning_rate": 1}]
    state = {"global_step": 5.0, "log_history": log, "best_model_checkpoint": 3}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    progress, rates, best = progress_of(str(tmp_path))
    assert (progress.step, progress.fault, rates, best) == (5, None, [(5, 1.0)], None)


@pytest.mark.parametrize("content", ["[1]", '{"log_history": 7}'])
def test_a_state_of_another_shape_is_not_called_cut_short(tmp_path, content):
    (tmp_path / "trainer_state.json").write_text(content)
    progress, _, _ = progress_of(str(tmp_path))
    assert progress.fault is None
    assert "of another shape: not read" in progress.unread
