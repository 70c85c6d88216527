"""Compares the vocabulary of a checkpoint, the rows of the embeddings and of the head, with the tokenizer.

Invariant: more rows than tokens are padding, and healthy.
"""

import os
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from rldk.checkpoints.safe_open import integer, opened, read_json
from rldk.checkpoints.safetensors import Entry
from rldk.schema.checkpoint import MAX_NAMED, Vocabulary

__all__ = ["TokensCache", "vocabulary_of"]

_EMBEDDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "embed_in.weight",
    "tok_embeddings.weight",
)
"""Ends of names of input embeddings: Llama and its kin, GPT-2, Bloom and Falcon, GPT-NeoX, InternLM."""
_HEADS = ("lm_head.weight", "embed_out.weight")
_PREDICTS = ("CausalLM", "ConditionalGeneration", "LMHead")


MAX_TOKENIZER = 40_000_000
"""Bytes of a tokenizer.json up to which rldk reads it; the largest have 35 MB."""


class _AddedToken(msgspec.Struct):
    id: int
    content: str = ""


class _Model(msgspec.Struct):
    vocab: dict[str, int] | list[tuple[str, float]] = {}


class _Tokenizer(msgspec.Struct):
    model: _Model = msgspec.field(default_factory=_Model)
    added_tokens: list[_AddedToken] = []


class _Tokens(msgspec.Struct, frozen=True):
    plain: int
    """The highest id of a token that was not added, plus one."""
    added: dict[int, str]


class TokensCache:
    """Keeps the last tokenizer, by its bytes: each save writes the same 10 MB again."""

    def __init__(self) -> None:
        self._crc: tuple[int, int] | None = None
        self._tokens: _Tokens | None = None

    def of(self, path: str) -> _Tokens | None:
        """The tokens of a tokenizer.json; None if it is missing or unreadable."""
        try:
            with open(path, "rb", opener=opened) as file:
                raw = file.read(MAX_TOKENIZER + 1)
        except OSError:
            return None
        if len(raw) > MAX_TOKENIZER:
            return None
        crc = (zlib.crc32(raw), len(raw))
        if crc != self._crc:
            self._crc, self._tokens = crc, _parsed(raw)
        return self._tokens


def _parsed(raw: bytes) -> _Tokens | None:
    try:
        tokenizer = msgspec.json.decode(raw, type=_Tokenizer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    vocab = tokenizer.model.vocab
    plain = max(vocab.values(), default=-1) + 1 if isinstance(vocab, dict) else len(vocab)
    return _Tokens(plain, {one.id: one.content for one in tokenizer.added_tokens})


def vocabulary_of(
    folder: str, entries: list[Entry], crcs: Mapping[str, int], cache: TokensCache
) -> Vocabulary | None:
    """The facts of the vocabulary; None if there are no embeddings among the tensors.

    Args:
        folder: the folder of the configuration and the tokenizer.
        entries: the tensors of all files.
        crcs: the CRC of each tensor's bytes.
        cache: of tokenizers.
    """
    inputs = _largest(entries, _EMBEDDINGS)
    if inputs is None:
        return None
    head = _largest(entries, _HEADS)
    config, _ = read_json(os.path.join(folder, "config.json"), dict[str, Any])
    found = Vocabulary(embeddings=inputs.name, embedding_rows=inputs.shape[0])
    if head is not None:
        found.head_rows = head.shape[0]
        if inputs.name in crcs and head.name in crcs:
            same = head.shape == inputs.shape and head.dtype == inputs.dtype
            found.heads_equal = same and crcs[inputs.name] == crcs[head.name]
    if config:
        text = config.get("text_config")
        inner = text if isinstance(text, dict) else {}
        found.config_rows = integer(inner.get("vocab_size", config.get("vocab_size")))
        tied = config.get("tie_word_embeddings", inner.get("tie_word_embeddings"))
        found.tied = tied if isinstance(tied, bool) else None
        architectures = config.get("architectures")
        names = architectures if isinstance(architectures, list) else []
        predicts = any(end in name for name in names if isinstance(name, str) for end in _PREDICTS)
        # a matrix of the same size may be the head under another name: `output` of InternLM2, for one
        alike = any(entry.shape == inputs.shape and entry.name != inputs.name for entry in entries)
        found.needs_head = predicts and not alike
    tokens = cache.of(os.path.join(folder, "tokenizer.json"))
    if tokens is not None:
        found.tokens = integer(max(tokens.plain, max(tokens.added, default=-1) + 1))
        beyond = {id_: text for id_, text in tokens.added.items() if id_ >= inputs.shape[0]}
        found.beyond = [beyond[id_][:100] for id_ in sorted(beyond)][:MAX_NAMED]
    return found


def _largest(entries: list[Entry], ends: tuple[str, ...]) -> Entry | None:
    """The matrix with the most rows among the tensors with such a name, as a model may have several."""
    matrices = [
        entry
        for entry in entries
        if len(entry.shape) == 2
        and entry.dtype in ("F64", "F32", "F16", "BF16")
        and any(entry.name == end or entry.name.endswith("." + end) for end in ends)
    ]
    return max(matrices, key=lambda entry: entry.shape[0], default=None)
