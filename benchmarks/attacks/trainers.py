"""One small training of every trainer of TRL that can be built here, in TRL 1 and in TRL 0.23.

Invariant: a trainer is built the same way each time, from its name, the folder and the callbacks alone.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

import tiny
from integrations import trainings

STEPS = 6
ROWS = 32
GENERATION = {"num_generations": 4, "max_completion_length": 6}
SHORT = {"max_completion_length": 6}
NEW_SHORT = {"max_new_tokens": 6}


class Setting:
    """What a trainer is built with.

    Args:
        model: path of the tiny model.
        folder: for what the trainer saves.
        callbacks: for the trainer.
        observe: wraps reward functions, or leaves them as they are.
    """

    def __init__(
        self, model: str, folder: Path, callbacks: list[Any], observe: Callable[[list[Any]], list[Any]]
    ) -> None:
        self.path = model
        self.folder = folder
        self.callbacks = callbacks
        self.observe = observe

    def options(self, **changes: Any) -> dict[str, Any]:
        """Arguments of the trainer's configuration: six steps, a save after three."""
        saves = {"max_steps": STEPS, "save_strategy": "steps", "save_steps": STEPS // 2}
        return trainings.options(self.folder, **(saves | changes))

    def model(self) -> Any:
        """The tiny model."""
        return AutoModelForCausalLM.from_pretrained(self.path, dtype=torch.float32)

    def classifier(self, kind: Any = AutoModelForSequenceClassification, labels: int = 1) -> Any:
        """The tiny model with a new head."""
        torch.manual_seed(0)
        return kind.from_pretrained(self.path, num_labels=labels, dtype=torch.float32)

    def build(self, name: str, *positional: Any, data: Dataset, given: Any = (), **changes: Any) -> Any:
        """A trainer by the name of its class, from TRL or from its experimental part.

        Args:
            name: without "Trainer"; with its module before a dot where it is experimental: `cpo.CPO`.
            positional: what comes before the keywords: the model.
            data: what it trains on.
            given: more keywords of the trainer.
            changes: of the options.
        """
        module, _, stem = name.rpartition(".")
        home = importlib.import_module(f"trl.experimental.{module}") if module else trl
        return getattr(home, f"{stem}Trainer")(
            *positional,
            args=getattr(home, f"{stem}Config")(**self.options(**changes)),
            train_dataset=data,
            processing_class=tiny.tokenizer(),
            callbacks=self.callbacks,
            **dict(given),
        )


def rows(**columns: Callable[[int], Any]) -> Dataset:
    """A dataset whose columns are functions of the row's number."""
    return Dataset.from_list([{name: make(row) for name, make in columns.items()} for row in range(ROWS)])


def sentence(shift: int = 0, length: int = 16) -> Callable[[int], str]:
    """The beginning of one of the sentences."""
    return lambda row: tiny.SENTENCES[(row + shift) % 4][:length]


PROMPT = {"prompt": sentence(length=10)}
LABELLED = PROMPT | {"completion": sentence(1), "label": lambda row: bool(row % 2)}
MESSAGES = {
    "messages": lambda row: [
        {"role": "user", "content": sentence(length=10)(row)},
        {"role": "assistant", "content": sentence(1)(row)},
    ]
}
TRIPLES = PROMPT | {"chosen": sentence(1), "rejected": sentence(2), "reference": sentence(3)}
PRIVILEGED = PROMPT | {"privileged_context": sentence(1)}
STEPWISE = {
    "prompt": lambda _: "the quick",
    "completions": lambda _: ["brown fox", "jumps over"],
    "labels": lambda row: [True, bool(row % 2)],
}


def text_of(completion: Any) -> str:
    """A completion as text, also where it is a conversation."""
    return completion if isinstance(completion, str) else completion[0]["content"]


def letter(completions: list[Any], **_: Any) -> list[float]:
    """Whether there is an e."""
    return [float("e" in text_of(completion)) for completion in completions]


async def length(completions: list[Any], **_: Any) -> list[float]:
    """The longer the better, asynchronously."""
    return [0.1 * len(text_of(completion)) for completion in completions]


def sft(at: Setting) -> Any:
    return at.build("SFT", at.model(), data=tiny.texts(ROWS))


def dpo(at: Setting) -> Any:
    return at.build("DPO", at.path, data=tiny.pairs(ROWS))


def grpo(at: Setting) -> Any:
    rewards = [letter, length] if trainings.NEW else [letter, tiny.length_reward]
    given = {"reward_funcs": at.observe(rewards)}
    return at.build("GRPO", at.path, data=tiny.prompts(ROWS), given=given, beta=0.02, **GENERATION)


def grpo_repeated(at: Setting) -> Any:
    given = {"reward_funcs": at.observe([letter])}
    repeated = {"num_iterations": 2, "gradient_accumulation_steps": 2}
    return at.build("GRPO", at.path, data=tiny.prompts(ROWS), given=given, **GENERATION, **repeated)


def rloo(at: Setting) -> Any:
    given = {"reward_funcs": at.observe([letter])}
    return at.build("RLOO", at.path, data=tiny.prompts(ROWS), given=given, **GENERATION)


def kto(at: Setting) -> Any:
    return at.build("KTO", at.path, data=rows(**LABELLED))


def reward(at: Setting) -> Any:
    return at.build("Reward", at.classifier(), data=tiny.pairs(ROWS))


def distillation(at: Setting) -> Any:
    return at.build(
        "Distillation", at.path, data=tiny.prompts(ROWS), given={"teacher_model": at.path}, **SHORT
    )


def a2po(at: Setting) -> Any:
    given = {"reward_funcs": at.observe([letter])}
    return at.build("a2po.A2PO", at.model(), data=tiny.prompts(16), given=given, **SHORT)


def cpo(at: Setting) -> Any:
    return at.build("cpo.CPO" if trainings.NEW else "CPO", at.model(), data=tiny.pairs(ROWS))


def orpo(at: Setting) -> Any:
    return at.build("orpo.ORPO" if trainings.NEW else "ORPO", at.model(), data=tiny.pairs(ROWS))


def gkd(at: Setting) -> Any:
    name = "gkd.GKD" if trainings.NEW else "GKD"
    given = {"teacher_model": at.model()}
    return at.build(name, at.model(), data=rows(**MESSAGES), given=given, **NEW_SHORT)


def gmpo(at: Setting) -> Any:
    given = {"reward_funcs": at.observe([letter])}
    return at.build("gmpo.GMPO", at.path, data=tiny.prompts(ROWS), given=given, **GENERATION)


def gold(at: Setting) -> Any:
    given = {"teacher_model": at.model()}
    return at.build("gold.GOLD", at.model(), data=rows(**MESSAGES), given=given, use_uld_loss=False, **SHORT)


def online_dpo(at: Setting) -> Any:
    given = {"reward_funcs": at.observe([letter]), "reward_processing_classes": tiny.tokenizer()}
    name = "online_dpo.OnlineDPO" if trainings.NEW else "OnlineDPO"
    return at.build(name, at.model(), data=tiny.prompts(ROWS), given=given, **NEW_SHORT)


def nash_md(at: Setting) -> Any:
    given = {"ref_model": at.model(), "reward_funcs": at.classifier()}
    return at.build("NashMD", at.model(), data=tiny.prompts(ROWS), given=given, **NEW_SHORT)


def xpo(at: Setting) -> Any:
    given = {"ref_model": at.model(), "reward_funcs": at.classifier()}
    given |= {"reward_processing_classes": tiny.tokenizer()}
    return at.build("XPO", at.model(), data=tiny.prompts(ROWS), given=given, **NEW_SHORT)


def bco(at: Setting) -> Any:
    return at.build("BCO", at.model(), data=rows(**LABELLED), given={"ref_model": at.model()})


def prm(at: Setting) -> Any:
    return at.build("PRM", at.classifier(AutoModelForTokenClassification, 2), data=rows(**STEPWISE))


def ppo(at: Setting) -> Any:
    return trainings.ppo(at.path, at.folder, at.callbacks, save_strategy="steps", save_steps=2)


def sdft(at: Setting) -> Any:
    return at.build("sdft.SDFT", at.model(), data=rows(**PRIVILEGED), **GENERATION)


def sdpo(at: Setting) -> Any:
    given = {"reward_funcs": at.observe([letter])}
    return at.build("sdpo.SDPO", at.model(), data=rows(**PRIVILEGED), given=given, **GENERATION)


def tpo(at: Setting) -> Any:
    return at.build("tpo.TPO", at.model(), data=rows(**TRIPLES))


def bema_dpo(at: Setting) -> Any:
    from trl.experimental import bema_for_ref_model

    return bema_for_ref_model.DPOTrainer(
        at.path,
        args=trl.DPOConfig(**at.options()),
        train_dataset=tiny.pairs(ROWS),
        processing_class=tiny.tokenizer(),
        callbacks=[*at.callbacks, bema_for_ref_model.BEMACallback(update_ref_model=True)],
    )


BOTH: dict[str, Callable[[Setting], Any]] = {
    "SFT": sft,
    "DPO": dpo,
    "GRPO": grpo,
    "GRPO, 2 iterations": grpo_repeated,
    "RLOO": rloo,
    "KTO": kto,
    "Reward": reward,
    "CPO": cpo,
    "ORPO": orpo,
    "GKD": gkd,
    "OnlineDPO": online_dpo,
}
ONLY_NEW = {
    "Distillation": distillation,
    "A2PO": a2po,
    "GMPO": gmpo,
    "GOLD": gold,
    "SDFT": sdft,
    "SDPO": sdpo,
    "TPO": tpo,
    "BEMA for DPO": bema_dpo,
}
ONLY_OLD = {
    "XPO": xpo,
    "NashMD": nash_md,
    "BCO": bco,
    "PRM": prm,
    "PPO": ppo,
}
TRAINERS = BOTH | (ONLY_NEW if trainings.NEW else ONLY_OLD)
