"""Healthy models and adapters of unusual make, as transformers and peft save them: nothing is wrong."""

import json

import numpy as np
import pytest
import torch
import transformers
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file, save_file

from checkpoints.judging import findings
from checkpoints.seeded import change_torch
from rldk.checkpoints import Analyst, analyse, lora

TEXT = {
    "vocab_size": 120,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}


def loud(found, **context):
    return {rule: one for rule, one in findings(found, **context).items() if one.severity != "info"}


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**TEXT))


def mllama():
    sight = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_global_layers": 1}
    sight |= {"attention_heads": 4, "image_size": 28, "patch_size": 14, "vision_output_dim": 64}
    text = TEXT | {"cross_attention_layers": [1], "bos_token_id": 1, "eos_token_id": 2}
    text |= {"rope_scaling": {"rope_type": "default"}}  # transformers 4 has no default
    about = transformers.MllamaConfig(
        vision_config=sight | {"intermediate_layers_indices": [0]}, text_config=text
    )
    return transformers.MllamaForConditionalGeneration(about)


class Encoder(transformers.BertModel):
    """Trained without its pooler."""

    def forward(self, input_ids=None, attention_mask=None, labels=None, **kwargs):
        hidden = super().forward(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return {"loss": (hidden.mean(1) ** 2).mean()}


def adapted(model, name="default", **about):
    model.name_or_path = "some/model"  # else peft names none
    return get_peft_model(model, LoraConfig(r=4, **about), adapter_name=name)


def train(model, folder):
    """Checkpoints of the steps 5 and 10."""
    rows = Dataset.from_list([{"input_ids": [1, 5, 3], "labels": [1, 5, 3], "attention_mask": [1] * 3}] * 16)
    args = transformers.TrainingArguments(
        folder,
        max_steps=10,
        save_steps=5,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        per_device_train_batch_size=2,
        disable_tqdm=True,
    )
    transformers.Trainer(model=model, args=args, train_dataset=rows).train()
    return folder / "checkpoint-5", folder / "checkpoint-10"


@pytest.mark.training
def test_an_adapter_with_a_name_is_read_from_the_folder_of_that_name(tmp_path):
    first, last = train(adapted(llama(), "policy", target_modules=["q_proj", "v_proj"]), tmp_path)
    assert (last / "policy" / "adapter_model.safetensors").is_file()
    found = analyse(last, first)
    assert [part.name for part in found.parts] == ["policy/adapter_model.safetensors"]
    assert (found.kind, found.tensors, found.adapter.modules, found.adapter.r) == ("adapter", 8, 4, 4)
    assert (found.compared.tensors, found.config_missing, found.resumable) == (8, None, True)
    assert loud(found) == {}
    (last / "policy" / "adapter_model.safetensors").unlink()
    assert (
        "policy: adapter_model.safetensors is missing" in loud(analyse(last))["checkpoint-incomplete"].message
    )


def test_of_several_adapters_with_a_name_one_is_read_and_the_others_are_named(tmp_path):
    model = adapted(llama(), "reward", target_modules=["q_proj"])
    model.add_adapter("policy", LoraConfig(r=2, target_modules=["v_proj"]))
    model.save_pretrained(tmp_path)
    found = analyse(tmp_path)
    assert (found.adapter.r, len(found.parts)) == (2, 1)
    assert found.notes == [f"reward: another adapter; to read it: rldk checkpoint {tmp_path / 'reward'}"]
    assert analyse(tmp_path / "reward").adapter.r == 4


def test_images_that_are_embedded_and_not_predicted_need_no_row_of_the_head(tmp_path):
    mllama().save_pretrained(tmp_path)
    found = analyse(tmp_path)
    assert (found.vocabulary.embedding_rows, found.vocabulary.head_rows) == (128, 120)
    assert loud(found) == {}


@pytest.mark.training
@pytest.mark.parametrize("kind", ["pooler", "cross-attention"])
def test_parameters_that_get_no_gradient_have_no_state(tmp_path, kind):
    if kind == "pooler":
        about = {key: value for key, value in TEXT.items() if key != "num_key_value_heads"}
        model, lacking = Encoder(transformers.BertConfig(**about)), 2
    else:  # text alone: nothing attends to images
        targets = r".*language_model.*(q_proj|v_proj)"
        model, lacking = adapted(mllama(), target_modules=targets), 4
    first, last = train(model, tmp_path)
    for found in (analyse(last), analyse(last, first)):
        assert found.optimizer.without_state == lacking
        assert loud(found) == {}
    change_torch(last / "optimizer.pt", lambda content: content["state"].pop(min(content["state"])))
    assert set(loud(analyse(last, first))) == {"optimizer-state"}


def test_experts_in_one_parameter_are_not_multiplied(tmp_path, monkeypatch):
    about = TEXT | {"num_local_experts": 8, "num_experts_per_tok": 2}
    model = transformers.GptOssForCausalLM(transformers.GptOssConfig(**about))
    targets = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    adapted(model, target_modules=[], target_parameters=targets).save_pretrained(tmp_path)

    def multiplied(*_):
        raise AssertionError

    monkeypatch.setattr(lora, "_measure", multiplied)
    found = analyse(tmp_path)
    assert (found.adapter.modules, found.adapter.zero_b, found.adapter.update) == (4, 4, None)
    state = {"global_step": 20, "log_history": []}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    assert "lora-dead" in loud(analyse(tmp_path))


@pytest.mark.parametrize("adapter_first", [True, False])
def test_a_model_and_an_adapter_have_no_tensor_in_common(tmp_path, adapter_first):
    model = llama()
    model.save_pretrained(tmp_path / "full")
    adapted(model, target_modules=["q_proj"]).save_pretrained(tmp_path / "lora")
    folders = tmp_path / "lora", tmp_path / "full"
    found = analyse(*(folders if adapter_first else folders[::-1]))
    assert (found.compared.tensors, found.compared.retyped) == (0, [])
    assert "weight-drift" not in findings(found)


def test_a_causal_bias_of_minus_infinity_is_a_mask_until_it_changes(tmp_path):
    model = llama()
    model.register_buffer("causal", torch.full((6, 6), -torch.inf).triu(1))
    folders = [tmp_path / f"checkpoint-{step}" for step in (5, 10, 15)]
    for folder in folders:
        model.save_pretrained(folder)
        next(model.parameters()).data.mul_(1.5)
    analyst = Analyst()
    for folder in folders[:2]:
        found = analyst.analyse(folder)
        assert (found.non_finite_tensors, found.masks, found.spoiled) == (1, 1, [])
    file = folders[2] / "model.safetensors"
    tensors = load_file(file)
    tensors["causal"][5, 5] = -np.inf
    save_file(tensors, file, {"format": "pt"})
    assert set(loud(analyst.analyse(folders[2]))) == {"checkpoint-non-finite"}


def test_a_tensor_of_nothing_but_minus_infinity_is_no_mask(tmp_path):
    """No update ever changes it again."""
    model = llama()
    model.register_parameter("logit_scale", torch.nn.Parameter(torch.full((1,), -torch.inf)))
    analyst = Analyst()
    for step in (5, 10):
        model.save_pretrained(tmp_path / f"checkpoint-{step}")
        found = analyst.analyse(tmp_path / f"checkpoint-{step}")
        assert set(loud(found)) == {"checkpoint-non-finite"}


def test_a_weight_is_named_behind_the_masks_of_many_layers(tmp_path):
    model = llama()
    for i in range(30):
        model.register_buffer(f"a{i}", torch.full((6, 6), -torch.inf).triu(1))
    model.lm_head.weight.data[3, 3] = torch.inf
    model.save_pretrained(tmp_path)
    one = loud(analyse(tmp_path))["checkpoint-non-finite"]
    assert one.evidence["tensors"] == ["lm_head.weight"]
    assert "1 of 51 tensors" in one.message
