"""What a trainer holds when its training begins, by real trainings, and what the rules say of it."""

import copy
import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trl
from datasets import Dataset, IterableDataset
from peft import LoraConfig, PeftModel, get_peft_model
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, DataCollatorForLanguageModeling, TrainingArguments

import tiny
from events import found_in
from integrations import trainings
from integrations.trainings import NEW
from rldk.integrations.trl.first_labels import count_labels
from rldk.integrations.trl.trainer_session import start_of
from rldk.integrations.trl.training_start import training_start
from rldk.recording.completion_stats import Ends
from rldk.recording.guard import Guard
from rldk.runs import RecordedRun
from rldk.schema.training_start import TrainingStart

pytestmark = [pytest.mark.training, pytest.mark.compat]

RULES = {
    "nothing-trained",
    "eos-never-learned",
    "sampling-temperature",
    "high-learning-rate",
    "shared-reference",
}
LORA = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
NO_END = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] }}{% endfor %}"


def loaded(model):
    return AutoModelForCausalLM.from_pretrained(model)


def recorded(callback):
    """What the run's file says of the beginning, and what the rules find: live and afterwards the same."""
    assert callback.guard.failures == 0
    run = RecordedRun(callback.files)
    assert found_in(run) == callback._recording.session.recorder.live_doctor.diagnosis()
    alerts = json.loads(callback.files.alerts.read_text())
    live = {one["finding"]["rule"]: one["finding"]["message"] for one in alerts if one["step"] == 0}
    found = {one.rule: one for one in found_in(run).findings if one.rule in RULES}
    assert {rule: one.message for rule, one in found.items()} == {
        rule: message for rule, message in live.items() if rule in RULES
    }
    return run.info.newest.start, found


def sft(
    model,
    folder,
    callbacks,
    *,
    data=None,
    tokens=None,
    collator=None,
    peft=None,
    optimizers=(None, None),
    evaluate_on=None,
    **changes,
):
    return trl.SFTTrainer(
        model=model,
        args=trl.SFTConfig(**trainings.options(folder, max_steps=2, **changes)),
        train_dataset=tiny.texts() if data is None else data,
        eval_dataset=evaluate_on,
        processing_class=tokens or tiny.tokenizer(),
        data_collator=collator,
        peft_config=peft,
        optimizers=optimizers,
        callbacks=callbacks,
    )


def dpo(model, folder, callbacks, *, reference=None, peft=None, data=None, tokens=None, **changes):
    return trl.DPOTrainer(
        model=model,
        ref_model=reference,
        args=trl.DPOConfig(**trainings.options(folder, max_steps=2, **changes)),
        train_dataset=data or tiny.pairs(),
        processing_class=tokens or tiny.tokenizer(),
        peft_config=peft,
        callbacks=callbacks,
    )


@pytest.mark.parametrize(
    "kind", ["sft", "dpo", "kto", "grpo", "rloo", "reward", "line", *(() if NEW else ("ppo",))]
)
def test_a_healthy_training_trains_all_that_it_holds(kind, model, tmp_path):
    callback = trainings.recorder(tmp_path / "logs")
    make = getattr(trainings, kind)
    trainer = make(tmp_path, [callback]) if kind == "line" else make(model, tmp_path, [callback])
    trainer.train()
    start, found = recorded(callback)
    size = sum(one.numel() for one in trainer.model.parameters())
    assert (start.parameters, start.trainable, start.optimized) == (size, size, size)
    assert (start.optimizer, start.learning_rate, start.adapter) == ("AdamW", pytest.approx(1e-2), None)
    assert start.in_reference == (0 if kind in ("dpo", "kto", "rloo", "ppo") else None)
    assert (start.labels is not None) == (kind in ("sft", "dpo", "kto"))
    if start.labels is not None:
        assert start.labels.sequences == 8
        assert start.labels.ends >= 8
    assert found == {}


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_an_adapter_trains_alone(kind, model, tmp_path):
    callback = trainings.recorder(tmp_path / "logs")
    trainer = {"sft": sft, "dpo": dpo}[kind](model, tmp_path, [callback], peft=LORA)
    trainer.train()
    start, found = recorded(callback)
    trainable = sum(one.numel() for one in trainer.model.parameters() if one.requires_grad)
    assert (start.trainable, start.optimized, start.adapter) == (trainable, trainable, "LORA")
    assert trainable < start.parameters / 10
    assert start.in_reference is None
    assert found == {}


def test_an_adapter_that_was_loaded_frozen_is_critical_before_the_first_step(model, tmp_path, caplog):
    get_peft_model(loaded(model), LORA).save_pretrained(tmp_path / "adapter")
    frozen = PeftModel.from_pretrained(loaded(model), tmp_path / "adapter", is_trainable=False)
    callback = trainings.recorder(tmp_path / "logs")
    sft(frozen, tmp_path, [callback], gradient_checkpointing=True).train()
    start, found = recorded(callback)
    assert (start.trainable, start.optimized) == (0, 0)
    (finding,) = found.values()
    assert (finding.rule, finding.severity, finding.onset_step) == ("nothing-trained", "critical", 0)
    assert f"none of the {start.parameters:,} parameters of the model requires a gradient" in finding.message
    assert "is_trainable=True" in finding.remedies[0]
    assert "rldk: CRITICAL at step 0: nothing-trained: " in caplog.text


def test_an_optimizer_made_before_the_adapter_is_critical(model, tmp_path):
    policy = loaded(model)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3)
    callback = trainings.recorder(tmp_path / "logs")
    sft(policy, tmp_path, [callback], peft=LORA, optimizers=(optimizer, None)).train()
    start, found = recorded(callback)
    assert start.trainable > 0
    assert start.optimized == 0
    (finding,) = found.values()
    assert (finding.rule, finding.severity) == ("nothing-trained", "critical")
    assert f"the optimizer (AdamW) holds none of the {start.trainable:,} parameters" in finding.message
    assert "get_peft_model" in finding.remedies[0]


def test_an_optimizer_over_another_model_is_critical(tmp_path):
    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.line(tmp_path, [callback])
    trainer.optimizer = torch.optim.SGD(tiny.Line().parameters(), lr=1e-2)
    trainer.train()
    start, found = recorded(callback)
    assert (start.trainable, start.optimized, start.optimizer) == (2, 0, "SGD")
    assert found["nothing-trained"].severity == "critical"


class Copies(torch.optim.AdamW):
    """Holds copies of the parameters, as optimizers with master weights do."""

    def __init__(self, parameters, **options):
        self.originals = list(parameters)
        super().__init__([torch.nn.Parameter(one.detach().clone()) for one in self.originals], **options)


def test_an_optimizer_that_may_hold_copies_proves_nothing(tmp_path):
    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.line(tmp_path, [callback])
    trainer.optimizer = Copies(trainer.model.parameters(), lr=1e-2)
    trainer.train()
    start, found = recorded(callback)
    assert (start.trainable, start.optimized) == (2, None)
    assert found == {}


@pytest.mark.parametrize("switch", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_what_a_framework_shards_is_not_counted(switch, monkeypatch):
    monkeypatch.setenv(switch, "true")
    line = tiny.Line().requires_grad_(False)
    hooked = {"model": line, "optimizer": torch.optim.SGD(tiny.Line().parameters(), lr=0.5)}
    start = training_start(SimpleNamespace(), None, hooked, Ends(), Guard())
    assert start == TrainingStart(optimizer="SGD", learning_rate=0.5)


def test_a_frozen_model_beside_which_something_is_trained_proves_nothing():
    hooked = {
        "model": tiny.Line().requires_grad_(False),
        "optimizer": torch.optim.SGD(tiny.Line().parameters(), lr=0.5),
    }
    assert training_start(SimpleNamespace(), None, hooked, Ends(), Guard()).trainable is None


def test_an_evaluation_of_a_frozen_model_is_no_training(tmp_path):
    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.line(tmp_path, [callback])
    trainer.model.requires_grad_(False)
    trainer.evaluate()
    assert RecordedRun(callback.files).info.newest.start == TrainingStart()
    assert found_in(RecordedRun(callback.files)).findings == []


def test_a_training_after_an_evaluation_is_looked_at_too(model, tmp_path, caplog):
    policy = loaded(model)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3)
    callback = trainings.recorder(tmp_path / "logs")
    data = tiny.texts(8)
    trainer = sft(policy, tmp_path, [callback], peft=LORA, optimizers=(optimizer, None), evaluate_on=data)
    trainer.evaluate()
    assert "nothing-trained" not in caplog.text
    trainer.train()
    start, found = recorded(callback)
    assert (start.optimized, start.labels.ends) == (0, 8)
    assert set(found) == {"nothing-trained"}
    assert [one.start for one in RecordedRun(callback.files).info.attempts] == [start]
    assert caplog.text.count("rldk: CRITICAL at step 0: nothing-trained: ") == 1


def test_a_reference_to_which_the_adapter_was_added_too_is_critical(model, tmp_path):
    base = loaded(model)
    policy = get_peft_model(base, LORA)
    callback = trainings.recorder(tmp_path / "logs")
    trainer = dpo(policy, tmp_path, [callback], reference=base)
    if NEW:  # TRL 1.16 fails at its first step, and does not say why
        with pytest.raises(TypeError):
            trainer.train()
        callback._recording.session.fail(TypeError())
    else:
        trainer.train()
    start, found = recorded(callback)
    assert start.in_reference == start.trainable > 0
    (finding,) = found.values()
    assert (finding.rule, finding.severity, finding.onset_step) == ("shared-reference", "critical", 0)
    assert "ref_model=None" in finding.remedies[0]


def aliased(policy):
    """Another object, whose parameters lie in the same memory."""
    other = copy.deepcopy(policy)
    other.load_state_dict(policy.state_dict(), assign=True)
    return other


@pytest.mark.parametrize(("make", "is_shared"), [(copy.copy, True), (aliased, True), (copy.deepcopy, False)])
def test_a_reference_in_the_memory_of_the_policy_is_critical(make, is_shared, model, tmp_path):
    policy = loaded(model)
    callback = trainings.recorder(tmp_path / "logs")
    dpo(policy, tmp_path, [callback], reference=make(policy)).train()
    start, found = recorded(callback)
    assert start.in_reference == (start.trainable if is_shared else 0)
    assert set(found) == ({"shared-reference"} if is_shared else set())


def test_a_reference_scored_before_the_first_step_may_be_the_policy(model, tmp_path):
    policy = loaded(model)
    callback = trainings.recorder(tmp_path / "logs")
    dpo(policy, tmp_path, [callback], reference=copy.copy(policy), precompute_ref_log_probs=True).train()
    _, found = recorded(callback)
    assert found == {}


def chat(rows=32):
    return [
        [
            {"role": "user", "content": tiny.SENTENCES[i % 4][: 6 + i % 5]},
            {"role": "assistant", "content": tiny.SENTENCES[i % 3][: 9 + i % 7]},
        ]
        for i in range(rows)
    ]


@pytest.mark.parametrize("ends", [True, False])
def test_a_template_without_an_end_is_a_warning_before_the_first_step(ends, model, tmp_path):
    tokens = tiny.tokenizer()
    if not ends:
        tokens.chat_template = NO_END
    callback = trainings.recorder(tmp_path / "logs")
    data = Dataset.from_dict({"messages": chat()})
    sft(model, tmp_path, [callback], data=data, tokens=tokens).train()
    start, found = recorded(callback)
    assert start.labels.sequences == 8
    assert start.labels.ends == (16 if ends else 0)
    assert set(found) == (set() if ends else {"eos-never-learned"})
    if not ends:
        assert found["eos-never-learned"].severity == "warning"
        assert "no end token is among the" in found["eos-never-learned"].message


def test_padding_that_is_the_end_token_masks_it_in_the_collator_of_transformers(model, tmp_path):
    tokens = tiny.tokenizer()
    tokens.pad_token = tokens.eos_token
    callback = trainings.recorder(tmp_path / "logs")
    collator = DataCollatorForLanguageModeling(tokens, mlm=False)
    one = {"per_device_train_batch_size": 1}  # it cannot pad the labels that TRL 1.16 makes
    sft(model, tmp_path, [callback], tokens=tokens, collator=collator, **one).train()
    start, found = recorded(callback)
    assert start.labels.ends == 0
    assert found["eos-never-learned"].severity == "warning"
    assert any("pad_token" in remedy for remedy in found["eos-never-learned"].remedies)


def test_padding_that_is_the_end_token_is_harmless_in_trls_own_collator(model, tmp_path):
    tokens = tiny.tokenizer()
    tokens.pad_token = tokens.eos_token
    callback = trainings.recorder(tmp_path / "logs")
    sft(model, tmp_path, [callback], tokens=tokens).train()
    start, found = recorded(callback)
    assert start.labels.ends == 8
    assert found == {}


@pytest.mark.skipif(not NEW, reason="TRL 0.23 appends the EOS to all preferences")
def test_preferences_without_an_end_are_information(model, tmp_path):
    tokens = tiny.tokenizer()
    tokens.chat_template = NO_END
    data = Dataset.from_list(
        [
            {
                "prompt": talk[:1],
                "chosen": talk[1:],
                "rejected": [{"role": "assistant", "content": f"no {i}"}],
            }
            for i, talk in enumerate(chat())
        ]
    )
    callback = trainings.recorder(tmp_path / "logs")
    dpo(model, tmp_path, [callback], data=data, tokens=tokens).train()
    start, found = recorded(callback)
    assert start.labels.ends == 0
    assert found["eos-never-learned"].severity == "info"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"temperature": 0.1}, "nearly the same"),
        ({"temperature": 5.0}, "mostly noise"),
        ({"generation_kwargs": {"temperature": 0.5}}, "sampled at temperature 0.5 and scored at 1"),
        ({"temperature": 0.7}, None),
        ({"temperature": 1.3}, None),
    ],
    ids=str,
)
def test_a_temperature_far_from_1_is_a_warning(changes, word, model, tmp_path):
    callback = trainings.recorder(tmp_path / "logs")
    trainings.grpo(model, tmp_path, [callback], max_steps=1, **changes).train()
    _, found = recorded(callback)
    assert set(found) == ({"sampling-temperature"} if word else set())
    if word:
        assert found["sampling-temperature"].severity == "warning"
        assert word in found["sampling-temperature"].message


@pytest.mark.parametrize(("rate", "is_absurd"), [(0.5, True), (0.01, False)])
def test_an_absurd_rate_is_a_warning(rate, is_absurd, model, tmp_path):
    callback = trainings.recorder(
        tmp_path / "logs", alert_thresholds={"high-learning-rate": {"least_parameters": 1000}}
    )
    sft(model, tmp_path, [callback], learning_rate=rate).train()
    start, found = recorded(callback)
    assert start.learning_rate == rate
    assert set(found) == ({"high-learning-rate"} if is_absurd else set())


def hooked_sft(model, folder, **changes):
    """What the hooks of an SFT training are given."""
    trainer = sft(model, folder, [], **changes)
    return trainer.args, {"train_dataloader": trainer.get_train_dataloader(), "model": trainer.model}


def random_states():
    numbers = np.random.get_state()[1].tolist()  # noqa: NPY002 - the global state is the one to leave alone
    return random.getstate(), numbers, torch.get_rng_state().tolist()


def test_looking_at_the_labels_leaves_data_and_random_states_as_they_were(model, tmp_path):
    args, hooked = hooked_sft(model, tmp_path)
    ends = Ends(known=frozenset({tiny.tokenizer().eos_token_id}))
    torch.manual_seed(3)
    untouched = [batch["input_ids"].tolist() for batch in hooked["train_dataloader"]]
    args, hooked = hooked_sft(model, tmp_path)
    before = random_states()
    assert count_labels(args, hooked, ends).ends == 8
    assert random_states() == before
    torch.manual_seed(3)
    assert [batch["input_ids"].tolist() for batch in hooked["train_dataloader"]] == untouched


class Counting:
    """A collator of the user's."""

    def __call__(self, rows):
        raise AssertionError("it may draw random numbers, or count its calls")


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(tiny.texts(8), collate_fn=Counting()),
        SimpleNamespace(dataset=IterableDataset.from_generator(lambda: iter([])), collate_fn=None),
        SimpleNamespace(
            dataset=tiny.texts(8).with_transform(lambda rows: rows),
            collate_fn=DataCollatorForLanguageModeling(tiny.tokenizer(), mlm=False),
        ),
        DataLoader(tiny.texts(8), collate_fn=DataCollatorForLanguageModeling(tiny.tokenizer(), mlm=False)),
        None,
    ],
    ids=["own collator", "stream", "transform", "not SFT", "no loader"],
)
def test_data_that_may_change_when_it_is_read_is_left_alone(loader, tmp_path, request):
    kind = TrainingArguments if "not SFT" in request.node.name else trl.SFTConfig
    args = kind(**trainings.options(tmp_path))
    assert count_labels(args, {"train_dataloader": loader}, Ends(known=frozenset({1}))) is None


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([5, 6, 7, 8], (4, 0)),
        ([16, 20, 16, 9], (1, 0)),  # three are cut
        ([9, 9, 9, 9], None),  # chunks
    ],
    ids=str,
)
def test_rows_that_are_cut_prove_nothing(rows, expected, tmp_path):
    args = trl.SFTConfig(**trainings.options(tmp_path, max_length=16))
    data = Dataset.from_dict({"input_ids": [[4] * min(size, 16) for size in rows]})
    collator = DataCollatorForLanguageModeling(tiny.tokenizer(), mlm=False)
    loader = SimpleNamespace(dataset=data, collate_fn=collator)
    count = count_labels(args, {"train_dataloader": loader}, Ends(known=frozenset({1})))
    assert (None if count is None else (count.sequences, count.ends)) == expected


@pytest.mark.parametrize(
    "hooked", [{}, {"model": None}, {"model": object()}], ids=["empty", "none", "object"]
)
def test_a_trainer_without_a_model_shows_nothing(hooked, tmp_path):
    guard, args = Guard(), TrainingArguments(**trainings.options(tmp_path))
    assert start_of(args, None, hooked, guard) == TrainingStart()
    assert guard.failures == 0


class Broken(torch.nn.Module):
    """A model whose parameters cannot be listed."""

    def parameters(self, recurse=True):
        raise RuntimeError("not now")


def test_what_cannot_be_counted_costs_that_alone(tmp_path):
    guard, args = Guard(), TrainingArguments(**trainings.options(tmp_path))
    assert start_of(args, None, {"model": Broken()}, guard) == TrainingStart()
    assert guard.failures == 1
