"""Tiny models, tokenizers and data for real trainings on a CPU: a step takes some 40 ms."""

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

torch.set_num_threads(1)

SENTENCES = [
    "the quick brown fox jumps over the lazy dog",
    "a tiny model learns to write short words",
    "rewards rise when the policy finds the trick",
    "every step of the run is on the disk",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '<eos>' }}{% endfor %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """A BPE tokenizer of 300 tokens, trained on the spot."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<pad>", "<eos>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        eos_token="<eos>",
        chat_template=CHAT_TEMPLATE,
        # TRL 0.23 passes every model input on to generate(), which knows no token_type_ids.
        model_input_names=["input_ids", "attention_mask"],
    )


def config(tokens: PreTrainedTokenizerFast) -> Qwen2Config:
    """Two layers of width 48."""
    return Qwen2Config(
        vocab_size=len(tokens),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=tokens.pad_token_id,
        eos_token_id=tokens.eos_token_id,
        bos_token_id=None,
        tie_word_embeddings=True,
    )


def save_model(folder: Path) -> str:
    """A random model and its tokenizer on disk: TRL loads the reference model from there again."""
    tokens = tokenizer()
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config(tokens))
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return str(folder)


def prompts(rows: int = 64) -> Dataset:
    """For GRPO, RLOO and PPO."""
    return Dataset.from_list([{"prompt": SENTENCES[i % 4][: 8 + i % 7]} for i in range(rows)])


def pairs(rows: int = 64) -> Dataset:
    """For DPO and the reward model."""
    return Dataset.from_list(
        [
            {
                "prompt": SENTENCES[i % 4][:10],
                "chosen": f" good words {i % 5}",
                "rejected": f" bad noise {i % 3}",
            }
            for i in range(rows)
        ]
    )


def labelled(rows: int = 64) -> Dataset:
    """For KTO."""
    return Dataset.from_list(
        [
            {
                "prompt": SENTENCES[i % 4][:10],
                "completion": f" words {i % 7}",
                "label": i % 2 == 0,
            }
            for i in range(rows)
        ]
    )


def texts(rows: int = 64) -> Dataset:
    """For SFT."""
    return Dataset.from_list([{"text": SENTENCES[i % 4]} for i in range(rows)])


def tokenized(rows: int = 64) -> Dataset:
    """For PPO, whose prompts are token ids."""
    tokens = tokenizer()
    return Dataset.from_list(
        [{"input_ids": tokens(row["prompt"])["input_ids"][:4]} for row in prompts(rows).to_list()]
    )


class Line(torch.nn.Module):
    """y = ax + b, for a plain `Trainer`: a step takes some 2 ms."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """The squared error of the line."""
        y = self.layer(x)
        return {"loss": ((y - labels) ** 2).mean(), "logits": y}


def points(rows: int = 64) -> Dataset:
    """For the line."""
    return Dataset.from_list(
        [{"x": [i / rows], "labels": [2 * i / rows + 1]} for i in range(rows)]
    ).with_format("torch")


def letter_reward(completions: list[str], **kwargs: Any) -> list[float]:
    """The share of the letter e."""
    return [text.count("e") / max(len(text), 1) for text in completions]


def length_reward(completions: list[str], **kwargs: Any) -> list[float]:
    """Longer is better."""
    return [min(len(text) / 40, 1.0) for text in completions]
