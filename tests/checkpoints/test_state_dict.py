"""Checkpoints of a training loop of one's own: files of torch.save and folders of accelerate."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from accelerate import Accelerator

from checkpoints.judging import findings
from rldk.checkpoints import analyse
from rldk.doctor.good_checkpoint import state_of


def linear() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(4, 3)


def stepped(model: torch.nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 4)).square().mean().backward()
    optimizer.step()
    return optimizer


def everything(model: torch.nn.Module) -> dict:
    """What a loop saves in one file."""
    state = stepped(model).state_dict()
    return {"model": model.state_dict(), "optimizer": state, "step": 1, "rng": torch.get_rng_state()}


@pytest.mark.parametrize("name", ["step1.pt", "last.ckpt", "model.pth", "weights.bin", "no_suffix"])
@pytest.mark.parametrize("content", [everything, torch.nn.Module.state_dict])
def test_a_whole_file_of_torch_save_is_read_and_let_be(tmp_path, name, content):
    torch.save(content(linear()), tmp_path / name)
    found = analyse(tmp_path / name)
    assert findings(found) == {}
    assert (found.kind, found.tensors, found.parameters, found.dtypes) == ("model", 2, 15, {"F32": 15})
    assert found.notes == []


def test_the_tensors_of_several_state_dicts_begin_with_their_keys(tmp_path):
    both = {"policy": linear().state_dict(), "value": linear().state_dict()}
    torch.save(both, tmp_path / "a.pt")
    both["value"]["weight"][0, 0] = float("nan")
    torch.save(both, tmp_path / "b.pt")
    found = analyse(tmp_path / "b.pt", tmp_path / "a.pt")
    assert [one.name for one in found.non_finite] == ["value.weight"]
    assert findings(found)["checkpoint-non-finite"].severity == "critical"
    assert (found.compared.tensors, found.compared.unchanged_tensors) == (4, 3)


def test_a_dict_that_many_keys_name_is_read_once(tmp_path):
    shared = linear().state_dict()
    torch.save({f"key{number}": shared for number in range(1000)}, tmp_path / "model.pt")
    assert analyse(tmp_path / "model.pt").tensors == 2


def test_a_file_that_did_not_change_is_found(tmp_path):
    for name in ("a.pt", "b.pt"):
        torch.save({"model": linear().state_dict()}, tmp_path / name)
    found = analyse(tmp_path / "b.pt", tmp_path / "a.pt")
    assert found.compared.identical


def test_tied_expanded_and_transposed_tensors_are_no_fault(tmp_path):
    tied = torch.randn(5, 4)
    content = {"head": tied, "embed": tied, "wide": torch.ones(1).expand(6), "turned": torch.randn(3, 2).T}
    torch.save(content, tmp_path / "model.pt")
    found = analyse(tmp_path / "model.pt")
    assert findings(found) == {}
    assert found.parameters == tied.numel() + 6


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_of_torch_save_is_damaged(tmp_path, share):
    path = tmp_path / "step1.pt"
    torch.save(everything(linear()), path)
    os.truncate(path, int(path.stat().st_size * share))
    finding = findings(analyse(path))["checkpoint-incomplete"]
    assert finding.severity == "critical"
    assert "step1.pt is damaged: cut short" in finding.message


def optimizer_alone(path: Path) -> None:
    torch.save(stepped(linear()).state_dict(), path / "file.pt")


def script(path: Path) -> None:
    torch.jit.save(torch.jit.script(linear()), path / "file.pt")


def old_format(path: Path) -> None:
    torch.save(linear().state_dict(), path / "file.pt", _use_new_zipfile_serialization=False)


def numpy_zip(path: Path) -> None:
    np.savez(path / "file.npz", a=np.ones(3))


def text(path: Path) -> None:
    (path / "file.pt").write_text("step 1")


@pytest.mark.parametrize("write", [optimizer_alone, script, old_format, numpy_zip, text])
def test_a_file_of_another_content_is_noted_and_not_judged(tmp_path, write):
    write(tmp_path)
    (path,) = tmp_path.iterdir()
    found = analyse(path)
    assert findings(found) == {}
    assert found.tensors or found.notes


@pytest.mark.parametrize("config", [None, '{"dim": 4}', '{"model_type": "qwen2"}'])
def test_weights_of_torch_in_a_folder_are_noted_with_the_command_that_reads_them(tmp_path, config):
    torch.save(linear().state_dict(), tmp_path / "model.pt")
    if config:
        (tmp_path / "config.json").write_text(config)
    found = analyse(tmp_path)
    assert findings(found) == {}
    assert f"rldk checkpoint {tmp_path / 'model.pt'}" in found.notes[0]


def test_weights_with_only_an_optimizer_of_a_loop_of_ones_own_are_let_be(tmp_path):
    model = linear()
    torch.save(stepped(model).state_dict(), tmp_path / "optimizer.pt")
    torch.save(model.state_dict(), tmp_path / "model.pt")
    assert findings(analyse(tmp_path)) == {}


@pytest.mark.parametrize("name", ["state", "checkpoint-1"])
def test_a_state_that_accelerate_saved_is_read_and_let_be(tmp_path, name):
    accelerator = Accelerator(cpu=True)
    model = linear()
    optimizer = stepped(model)
    accelerator.prepare(model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer))
    accelerator.save_state(str(tmp_path / name))
    found = analyse(tmp_path / name)
    assert findings(found) == {}
    assert (found.tensors, found.optimizer.parameters, found.optimizer.most_steps) == (2, 2, 1)
    assert any("random_states_0.pkl" in note for note in found.notes)
    good = state_of(found)
    assert good.good
    assert "resume" not in good.because


def test_a_distributed_checkpoint_of_torch_is_noted(tmp_path):
    dcp.save(linear().state_dict(), checkpoint_id=tmp_path / "step-1", no_dist=True)
    found = analyse(tmp_path / "step-1")
    assert findings(found) == {}
    assert ".distcp: weights in a format that is not read here" in found.notes[0]


def test_a_checkpoint_of_the_trainer_without_its_state_file_is_incomplete(tmp_path):
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save(stepped(linear()).state_dict(), tmp_path / name)
    found = analyse(tmp_path)
    assert found.missing == ["trainer_state.json"]
    assert "no trainer_state.json" in findings(found)["checkpoint-incomplete"].evidence["problems"][1]
