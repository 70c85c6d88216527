"""What an analysis tells of folders: comparisons, predecessors that are gone, what is no checkpoint."""

import json
import os
import shutil

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.files import file_bytes, matrix, save
from rldk.checkpoints import Analyst, analyse
from rldk.schema.checkpoint import Analysis, analysis_of


def layers(change=None, count=4):
    tensors = {f"model.layers.{i}.mlp.up_proj.weight": matrix(seed=i) for i in range(count)}
    if change is not None:
        name = f"model.layers.{change}.mlp.up_proj.weight"
        tensors[name] = tensors[name] + np.float32(0.01)
    return tensors


def test_drift_and_unchanged_shares_by_layer(tmp_path):
    old = save(tmp_path / "checkpoint-5", layers(), step=5)
    new = save(tmp_path / "checkpoint-9", layers(change=2), step=9)
    found = analyse(new, old)
    assert [(group.name, group.unchanged) for group in found.groups] == [
        (f"model.layers.{i}.mlp", 0.0 if i == 2 else 1.0) for i in range(4)
    ]
    weights = layers(change=2)["model.layers.2.mlp.up_proj.weight"]
    assert found.groups[2].drift == pytest.approx(0.01 * 48**0.5 / np.linalg.norm(weights), rel=1e-4)
    assert found.groups[0].drift == 0.0
    compared = found.compared
    assert (compared.steps, compared.highest_lr, compared.tensors, compared.unchanged_tensors) == (
        4,
        1e-3,
        4,
        3,
    )
    assert compared.unchanged == 0.75
    assert not compared.identical


def test_a_predecessor_that_was_deleted_still_tells_what_changed(tmp_path):
    analyst = Analyst()
    old = save(tmp_path / "checkpoint-5", layers(), step=5)
    analyst.analyse(old)
    shutil.rmtree(old)
    same = analyst.analyse(save(tmp_path / "checkpoint-9", layers(), step=9)).compared
    assert same.identical
    assert same.unmeasured == "checkpoint-5 is no longer there"
    assert (same.steps, same.unchanged, same.drift) == (4, 1.0, 0.0)
    shutil.rmtree(tmp_path / "checkpoint-9")
    other = analyst.analyse(save(tmp_path / "checkpoint-12", layers(change=1), step=12)).compared
    assert not other.identical
    assert (other.unchanged_tensors, other.unchanged, other.drift) == (3, None, None)


def test_no_file_stays_open(tmp_path):
    analyst = Analyst()
    before = set(os.listdir("/dev/fd"))
    for step in (5, 9):
        analyst.analyse(save(tmp_path / f"checkpoint-{step}", layers(), step=step))
    assert set(os.listdir("/dev/fd")) == before


def test_shards_may_be_cut_differently(tmp_path):
    old = save(tmp_path / "old", layers())
    new = tmp_path / "new"
    new.mkdir()
    tensors, placed = layers(change=3), {}
    for i, name in enumerate(tensors):
        file = f"model-{i + 1:05d}-of-00004.safetensors"
        (new / file).write_bytes(file_bytes({name: tensors[name]}))
        placed[name] = file
    (new / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    found = analyse(new, old)
    assert (len(found.parts), found.faults) == (4, [])
    assert found.compared.unchanged_tensors == 3
    single = analyse(new / "model-00004-of-00004.safetensors")
    assert (single.tensors, single.faults) == (1, [])


def test_what_was_added_removed_and_retyped(tmp_path):
    tensors = layers()
    old = save(tmp_path / "old", tensors)
    names = list(tensors)
    changed = tensors | {"extra.weight": matrix(), names[0]: tensors[names[0]].astype(np.float16)}
    del changed[names[3]]
    compared = analyse(save(tmp_path / "new", changed), old).compared
    assert (compared.added, compared.removed) == (["extra.weight"], [names[3]])
    assert compared.retyped == [f"{names[0]}: F32 [8, 6] -> F16 [8, 6]"]
    assert compared.tensors == 2


def test_a_step_that_goes_back_is_not_compared_with_the_later_one(tmp_path):
    analyst = Analyst(base=save(tmp_path / "base", layers()))
    first = analyst.analyse(save(tmp_path / "checkpoint-9", layers(change=1), step=9))
    assert first.compared.base
    again = analyst.analyse(save(tmp_path / "checkpoint-5", layers(change=1), step=5))
    assert (again.compared.base, again.compared.steps) == (True, 5)
    after = analyst.analyse(save(tmp_path / "checkpoint-7", layers(change=2), step=7))
    assert (after.compared.base, after.compared.step) == (False, 5)


def test_a_folder_that_is_not_there_is_gone(tmp_path):
    assert "cannot be read" in analyse(tmp_path / "checkpoint-3").gone


def test_a_folder_that_is_deleted_while_it_is_read_is_gone(tmp_path, monkeypatch):
    folder = save(tmp_path / "checkpoint-5", layers(), step=5)
    from rldk.checkpoints.scan import Scanner

    measure = Scanner.measure

    def deleting(self, fd, entry, before=None):
        if folder.exists():
            shutil.rmtree(folder)
        return measure(self, fd, entry, before)

    monkeypatch.setattr(Scanner, "measure", deleting)
    analyst = Analyst()
    assert "was deleted" in analyst.analyse(folder).gone
    assert analyst.last is None


@pytest.mark.parametrize(
    "names", [[], ["config.json"], ["pytorch_model.bin"], ["README.md", "x.safetensors.tmp"]]
)
def test_other_folders_give_an_answer(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text('{"model_type": "qwen2"}')
    found = analyse(tmp_path)
    assert (found.kind, found.gone, found.resumable) == ("none", None, False)
    assert bool(found.faults) == (names == ["config.json"])
    assert bool(found.notes) == (names == ["pytorch_model.bin"])


def test_a_pipe_under_a_name_of_weights_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    os.mkfifo(tmp_path / "config.json")
    os.mkfifo(tmp_path / "optimizer.pt")
    assert "model.safetensors: it cannot be read" in analyse(tmp_path).notes[0]


JSON_FILES = ["config.json", "trainer_state.json", "tokenizer.json", "adapter_config.json"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_KEYS = (
    *("vocab_size", "text_config", "architectures", "tie_word_embeddings", "global_step", "log_history"),
    *("best_model_checkpoint", "model", "vocab", "added_tokens", "r", "lora_alpha", "target_modules"),
    *("rank_pattern", "use_rslora", "peft_type", "weight_map", "target_parameters", "modules_to_save"),
)
KEYS = st.sampled_from(_KEYS)


@given(
    st.sampled_from([*JSON_FILES, "model.safetensors.index.json"]), st.dictionaries(KEYS, VALUES, max_size=4)
)
def test_any_json_beside_the_weights_gives_an_answer(tmp_path_factory, name, content):
    folder = save(tmp_path_factory.mktemp("any"), {"model.embed_tokens.weight": matrix()}, step=3)
    if name.endswith("index.json"):
        (folder / "model.safetensors").unlink()
    (folder / name).write_text(json.dumps(content))
    found = analyse(folder)
    assert found.gone is None
    assert msgspec.convert(found.detail(), Analysis) == found


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize("value", [5, 0.5, True, "x", [[1]], {"a": 1}])
def test_no_key_need_hold_what_it_should(tmp_path, name, value):
    weights = {"model.embed_tokens.weight": matrix(), "base_model.model.q.lora_A.weight": matrix()}
    kind = "adapter_model" if name.startswith("adapter") else "model"
    folder = save(tmp_path, weights, step=3, name=kind)
    for key in _KEYS:
        (folder / name).write_text(json.dumps({key: value}))
        assert analyse(folder).gone is None


HUGE = 10**400


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("adapter_config.json", {"r": 4, "lora_alpha": HUGE}),
        ("adapter_config.json", {"r": HUGE, "lora_alpha": 8}),
        ("adapter_config.json", {"r": -4, "lora_alpha": 8, "use_rslora": True}),
        ("adapter_config.json", {"r": 4, "lora_alpha": float("nan")}),
        ("trainer_state.json", {"log_history": [{"step": float("nan"), "learning_rate": 0.1}]}),
        ("trainer_state.json", {"log_history": [{"step": float("inf"), "learning_rate": 0.1}]}),
        ("trainer_state.json", {"global_step": HUGE}),
        ("config.json", {"vocab_size": HUGE}),
        ("tokenizer.json", {"model": {"vocab": {"a": HUGE}}}),
    ],
)
def test_no_number_is_too_odd(tmp_path, name, content):
    weights = {"model.embed_tokens.weight": matrix(), "base_model.model.q.lora_A.weight": matrix(4, 8)}
    weights["base_model.model.q.lora_B.weight"] = matrix(8, 4)
    folder = save(tmp_path, weights, name="adapter_model" if name.startswith("adapter") else "model")
    (folder / name).write_text(json.dumps(content))
    found = analyse(folder)
    assert analysis_of(json.loads(msgspec.json.encode(found))) is not None


@pytest.mark.parametrize(
    ("other", "shape", "needs_head"),
    [("output.weight", (8, 6), False), ("model.layers.0.mlp.up_proj.weight", (6, 8), True)],
)
def test_a_head_may_have_another_name(tmp_path, other, shape, needs_head):
    tensors = {"model.tok_embeddings.weight": matrix(8, 6), other: matrix(*shape)}
    folder = save(tmp_path, tensors)
    about = {"architectures": ["InternLM2ForCausalLM"], "tie_word_embeddings": False, "vocab_size": 8}
    (folder / "config.json").write_text(json.dumps(about))
    assert analyse(folder).vocabulary.needs_head is needs_head


def test_what_a_folder_takes_counts_the_state_of_the_training(tmp_path):
    folder = save(tmp_path, layers(), step=3)
    (folder / "global_step3").mkdir()
    (folder / "global_step3" / "rank0.pt").write_bytes(bytes(5000))
    found = analyse(folder)
    assert found.bytes_on_disk == found.bytes + 5000 + (folder / "trainer_state.json").stat().st_size
    assert analyse(folder / "model.safetensors").bytes_on_disk == found.bytes


@pytest.mark.parametrize("name", ["config.json", "trainer_state.json"])
def test_json_of_another_shape_is_a_note_and_no_fault(tmp_path, name):
    folder = save(tmp_path, layers(), step=3)
    (folder / name).write_text("[1]")
    found = analyse(folder)
    assert not found.damaged
    assert found.notes == [f"{name}: it is of another shape: not read (Expected `object`, got `array`)"]
    (folder / name).write_text('{"global_step": ')
    found = analyse(folder)
    assert "cut short or no JSON" in (found.progress.fault or found.faults[0])


@given(st.sampled_from(JSON_FILES), st.binary(max_size=40))
def test_what_is_no_json_gives_an_answer(tmp_path_factory, name, content):
    folder = save(tmp_path_factory.mktemp("none"), {"model.embed_tokens.weight": matrix()}, step=3)
    (folder / name).write_bytes(content)
    assert analyse(folder).gone is None


def test_an_analysis_survives_json_and_another_make_is_none(tmp_path):
    found = analyse(save(tmp_path / "checkpoint-4", layers(), step=4))
    again = analysis_of(json.loads(msgspec.json.encode(found)))
    assert again == found
    assert analysis_of({"path": 3}) is None
    assert analysis_of({"path": "x", "of_a_later_rldk": 1}).path == "x"
    assert analysis_of({}) is None


@pytest.mark.parametrize(
    ("recorded", "there", "exists", "moved"),
    [
        ("out/checkpoint-3", "out/checkpoint-3", True, False),
        ("elsewhere/out/checkpoint-3", "out/checkpoint-3", True, True),
        ("out/checkpoint-3", None, False, False),
        ("/another/machine/checkpoint-3", None, False, True),
    ],
)
def test_the_best_checkpoint_is_looked_for_beside_this_one(tmp_path, recorded, there, exists, moved):
    folder = save(tmp_path / "out" / "checkpoint-9", layers(), step=9)
    state = folder / "trainer_state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"best_model_checkpoint": recorded}))
    if there:
        (tmp_path / there).mkdir(parents=True)
    best = analyse(folder).best
    assert (best.exists, best.moved) == (exists, moved)


@pytest.mark.parametrize(
    ("config", "tensor", "experts"),
    [
        ({"vocab_size": 8}, "model.layers.0.mlp.up_proj.weight", False),
        ({"num_experts": 8}, "model.layers.0.mlp.gate.weight", True),
        (None, "base_model.model.model.layers.0.mlp.experts.3.up_proj.lora_A.weight", True),
        ({"vision_config": {}}, "model.layers.0.mlp.up_proj.weight", True),
        (None, "base_model.model.vision_model.layers.0.mlp.fc1.lora_A.weight", True),
    ],
)
def test_models_with_parts_that_may_see_no_gradient(tmp_path, config, tensor, experts):
    folder = save(tmp_path, {tensor: matrix()})
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    assert analyse(folder).experts == experts
