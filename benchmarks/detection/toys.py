"""The toy that the detection set trains: a small language, a model that speaks it, rewards and pairs.

Sentences follow a grammar (`the red fox sees a hill often`), each word is one token. The base model is a
Qwen2 of two layers that was trained on them for some seconds, so that its entropy, its lengths and its use
of the EOS are those of a model that can already speak, as a real base model's are. Invariant: all of it
follows from the seeds here.
"""

import fcntl
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

torch.set_num_threads(1)

DETERMINERS = ("the", "a")
COLOURS = ("red", "blue", "green", "gold")
PLAIN = ("old", "small", "loud", "slow", "cold", "young")
NOUNS = ("fox", "dog", "bird", "river", "song", "hill", "child", "stone")
VERBS = ("sees", "follows", "likes", "finds", "hears")
ADVERBS = ("slowly", "often", "never", "today")
WORDS = ("and", *DETERMINERS, *COLOURS, *PLAIN, *NOUNS, *VERBS, *ADVERBS)
SPECIAL = ("<pad>", "<eos>", "<end>", "<user>")

MODEL_STEPS = 500
"""Steps of plain language modelling that the base model gets."""


def tokenizer(eos: str = "<eos>", words: tuple[str, ...] = WORDS) -> PreTrainedTokenizerFast:
    """One token a word."""
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
    by_word = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    by_word.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=by_word,
        pad_token="<pad>",
        eos_token=eos,
        model_input_names=["input_ids", "attention_mask"],
    )


def noun_phrase(chance: random.Random, colours: float = 0.3) -> list[str]:
    """`the small red fox`; `colours` is the share of its adjectives that are colours."""
    adjectives = [
        chance.choice(COLOURS if chance.random() < colours else PLAIN)
        for _ in range(chance.choices((0, 1, 2), (3, 4, 2))[0])
    ]
    return [chance.choice(DETERMINERS), *adjectives, chance.choice(NOUNS)]


def rest(chance: random.Random, colours: float = 0.3) -> list[str]:
    """What follows the subject: `sees a green hill often`, and now and then a second sentence."""
    words = [chance.choice(VERBS), *noun_phrase(chance, colours)]
    if chance.random() < 0.4:
        words.append(chance.choice(ADVERBS))
    if chance.random() < 0.35:
        words += ["and", *noun_phrase(chance, colours), *rest(chance, colours)]
    return words


def is_grammatical(words: list[str]) -> bool:
    """Whether the words are what `rest` can produce."""
    state = "verb"
    follows = {
        "verb": {VERBS: "determiner"},
        "determiner": {DETERMINERS: "object"},
        "object": {COLOURS + PLAIN: "object", NOUNS: "after"},
        "after": {ADVERBS: "adverb", ("and",): "determiner2"},
        "adverb": {("and",): "determiner2"},
        "determiner2": {DETERMINERS: "subject"},
        "subject": {COLOURS + PLAIN: "subject", NOUNS: "verb"},
    }
    for word in words:
        state = next((to for group, to in follows[state].items() if word in group), "")
        if not state:
            return False
    return state in ("after", "adverb")


def prompts() -> Dataset:
    """48 subjects, for GRPO and RLOO."""
    chance = random.Random(1)
    return Dataset.from_list([{"prompt": " ".join(noun_phrase(chance))} for _ in range(48)])


def texts(seed: int, rows: int) -> Dataset:
    """A new style for SFT: sentences in which every adjective is a colour."""
    chance = random.Random(seed)
    return Dataset.from_list(
        [{"text": " ".join(["<user>", *rest(chance, 0.95), *noun_phrase(chance, 0.95)])} for _ in range(rows)]
    )


def pairs(seed: int, rows: int, *, swapped: bool = False, identical: bool = False) -> Dataset:
    """Sentences with a colour are preferred to ones without; one label in twenty is wrong."""
    chance = random.Random(seed)
    made: list[dict[str, str]] = []
    while len(made) < rows:
        better, worse = rest(chance, 0.6), rest(chance, 0.1)
        if not set(better) & set(COLOURS) or set(worse) & set(COLOURS):
            continue
        if (chance.random() < 1 / 20) != swapped:
            better, worse = worse, better
        made.append(
            {
                "prompt": " ".join(noun_phrase(chance)) + " ",
                "chosen": " ".join(better),
                "rejected": " ".join(better if identical else worse),
            }
        )
    return Dataset.from_list(made)


def base_model(eos: str = "<eos>") -> str:
    """The path of the base model, trained at the first call on a machine.

    With another `eos` it is the same model, whose configuration names that token.
    """
    folder = Path(tempfile.gettempdir()) / f"rldk-detection-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    path, other = folder / "base", folder / f"eos-{eos.strip('<>')}"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (path / "config.json").exists():
            _train_base(path)
        if eos == "<eos>":
            return str(path)
        if not (other / "config.json").exists():
            tokens, model = tokenizer(eos), Qwen2ForCausalLM.from_pretrained(path)
            model.config.eos_token_id = model.generation_config.eos_token_id = tokens.eos_token_id
            model.save_pretrained(other)
            tokens.save_pretrained(other)
    return str(other)


def blank_model(tokens: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """A Qwen2 of two layers that knows nothing yet."""
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokens),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
            pad_token_id=tokens.pad_token_id,
            eos_token_id=tokens.eos_token_id,
            bos_token_id=None,
            tie_word_embeddings=False,
        )
    )


def _train_base(path: Path) -> None:
    tokens = tokenizer()
    torch.manual_seed(0)
    chance = random.Random(0)
    model = blank_model(tokens)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(MODEL_STEPS):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / MODEL_STEPS)
        rows = [" ".join([*noun_phrase(chance), *rest(chance), "<eos>"]) for _ in range(32)]
        batch = tokens(rows, padding=True, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.generation_config.eos_token_id = tokens.eos_token_id
    model.save_pretrained(path)
    tokens.save_pretrained(path)


def _shares(completions: list[str], wanted: tuple[str, ...]) -> list[float]:
    split = [text.split() for text in completions]
    return [sum(word in wanted for word in words) / max(len(words), 1) for words in split]


def colours(completions: list[str], **_: Any) -> list[float]:
    """The healthy reward: colours among the words of a correct sentence, half a point for the sentence."""
    shares = _shares(completions, COLOURS)
    right = correct(completions)
    return [0.5 * good + share * (1.0 if good else 0.3) for share, good in zip(shares, right, strict=True)]


def correct(completions: list[str], **_: Any) -> list[float]:
    """The truth that a proxy may betray: whether the completion is a correct sentence."""
    return [float(is_grammatical(text.split())) for text in completions]


def colour_count(completions: list[str], **_: Any) -> list[float]:
    """A proxy that can be hacked: colours, wherever they stand."""
    return [min(sum(word in COLOURS for word in text.split()) / 8, 1.0) for text in completions]


def length(completions: list[str], **_: Any) -> list[float]:
    """A reward that can be hacked by length: longer is better."""
    return [len(text.split()) / 32 for text in completions]


def any_colour(completions: list[str], **_: Any) -> list[float]:
    """A reward that saturates: one colour anywhere is all it asks."""
    return [float(any(word in COLOURS for word in text.split())) for text in completions]


def constant(completions: list[str], **_: Any) -> list[float]:
    """The same for every completion, as a parser that never matches gives."""
    return [0.0] * len(completions)


def noise(completions: list[str], **_: Any) -> list[float]:
    """A reward that knows nothing of the completion."""
    return torch.rand(len(completions)).tolist()
