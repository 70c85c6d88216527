"""Which names speak of a secret, and which only sound alike.

Owns the tables of words. Invariant: a name is judged by its words, whether snake, kebab, camel or dotted; a
name that counts tokens or names a column is never one whose every value is a secret.
"""

import re
from enum import Enum
from functools import lru_cache

__all__ = ["NAME_FIELDS", "VALUE_FIELDS", "Secrecy", "looks_random", "secrecy", "secrecy_of_named"]


class Secrecy(Enum):
    """What is secret of the values under a name."""

    ALL = "every value, but None and booleans"
    TEXTS = "texts; numbers are counts"
    RANDOM = "texts that look random"
    NONE = "nothing"


NAME_FIELDS = frozenset(["name", "key", "header", "field", "option", "variable", "env"])
VALUE_FIELDS = frozenset(["value", "values", "val", "default", "content", "data"])
"""A secret in two fields: `{"name": "HF_TOKEN", "value": "..."}`."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRET = _words(
    """
    secret password passwd passphrase passcode pwd passwrd credential cred authorization auth oauth
    cookie bearer jwt dsn webhook sas apikey totp
    """
)
"""Words that make a name secret wherever they stand in it."""
_SECRET_TEXT = frozenset(["pass", "pat", "sig", "pw"])
"""Words that make a name secret where they end it."""
_NO_PASS = _words("forward backward first second third num multi single by low high band per two one")
_GLUED = re.compile(
    r"apikey|apitoken|(?:secret|access|private|account|auth|ssh|signing|encryption|storage)key"
    r"|(?:access|auth|bearer|refresh|session|hub|hf)token(?!s?iz)|secret(?!ar)|passw(?:or)?d|passphrase"
    r"|credential|authorization|connectionstring|connstr|dbpass|userpass"
)
"""Words that are written as one, or with an underscore between them."""
_KEYS = _words(
    """
    api access secret private account shared signing encryption encrypt ssh gpg pgp rsa tls ssl master
    license deploy auth client storage session subscription function service admin user hmac aes jwt
    webhook bot app judge openai anthropic claude wandb hf huggingface hub aws azure gcp google gemini
    vertex nvidia ngc nim groq replicate xai grok stripe mistral cohere together fireworks comet neptune
    mlflow swanlab trackio clearml dagshub langfuse langsmith serper tavily serpapi exa openrouter
    deepseek dashscope qwen zhipu moonshot kimi perplexity pinecone weaviate vllm sglang litellm modal
    runpod lambda vast sagemaker bedrock databricks snowflake mongodb redis postgres sendgrid twilio
    slack discord telegram github gitlab docker notion linear sentry datadog jina voyage cerebras
    sambanova hyperbolic novita deepinfra baseten elevenlabs ollama e2b daytona firecrawl brave bing
    """
)
"""Words that make `..._key` a secret."""
_BEFORE_TOKEN = _words(
    """
    eos bos pad unk mask sep cls stop image video audio special boi eoi boa eoa start end begin vision
    box think tool decoder encoder max min num n new total mean avg average per each next first last
    prompt completion completions generated generation input output added extra reserved soft virtual
    visual target label train eval sample valid good bad unique reward text multi budget speculative
    draft prefix suffix response query context batched model reasoning thinking forced suppress ignore
    chunk expert cached experts process processed assistant system role sot eot timestamp keep
    """
)
"""Words in front of `token` that make it one of a vocabulary, or a count."""
_AFTER_TOKEN = frozenset(
    ["value", "val", "string", "str", "text", "default", "override", "prod", "dev", "test"]
)
"""Words behind `token` that leave it a secret, as the names of services do; `token_level` is none."""
_OF_PLACES = frozenset(["file", "path", "dir", "env", "var"])
"""Last words of a name that says where a secret is."""
_OF_ERRORS = frozenset(["error", "exception", "warning", "py"])
"""Last words of a class of errors, and of a file of source, which a traceback is full of."""

_LONGEST = 200
_LONGEST_NAMED = 64

_PATH = re.compile(r"[~.]{0,2}/|[a-z]+://|[A-Z]:\\", re.ASCII)
_CHUNK = re.compile(r"[A-Za-z0-9]{12,}")


@lru_cache(maxsize=8192)
def secrecy(name: str) -> Secrecy:
    """What is secret of the values under `name`."""
    if name in ("PWD", "OLDPWD"):  # the folder of a shell
        return Secrecy.NONE
    words = [word.lower() for word in _WORD.findall(name[-_LONGEST:])]
    if not words or words[-1] in _OF_ERRORS:
        return Secrecy.NONE
    level = _of_words(words)
    return Secrecy.RANDOM if level is not Secrecy.NONE and words[-1] in _OF_PLACES else level


def secrecy_of_named(text: str) -> Secrecy:
    """What `text`, where it is the name of a value beside it, makes of that value."""
    if len(text) > _LONGEST_NAMED or looks_random(text):
        return Secrecy.NONE
    level = secrecy(text)
    return Secrecy.NONE if level is Secrecy.RANDOM else level


def _of_words(words: list[str]) -> Secrecy:
    singular = [
        word[:-1] if len(word) > 3 and word.endswith("s") and word != "pass" else word for word in words
    ]
    if not _SECRET.isdisjoint((*singular, *words)) or _GLUED.search("".join(words)):
        return Secrecy.ALL
    if "amz" in words and not {"signature", "security", "token"}.isdisjoint(words):
        return Secrecy.ALL
    found = [_of_token(words, at) for at, word in enumerate(singular) if word == "token"]
    found += [_of_key(words, at) for at, word in enumerate(singular) if word == "key"]
    if words[-1] in _SECRET_TEXT and not (words[-1] == "pass" and _NO_PASS.intersection(words)):
        found.append(Secrecy.TEXTS)
    if words[-1] == "signature":
        found.append(Secrecy.RANDOM)
    return next((level for level in Secrecy if level in found), Secrecy.NONE)


def looks_random(text: str) -> bool:
    """Whether a text is of the kind that only machines make: long, of letters and digits mixed, no path."""
    if _PATH.match(text) or any(mark in text for mark in "<> \n"):
        return False
    return any(
        any(c.isdigit() for c in chunk) and any(c.isalpha() for c in chunk) for chunk in _CHUNK.findall(text)
    )


def _of_token(words: list[str], at: int) -> Secrecy:
    before, after = words[at - 1] if at else "", words[at + 1 :][:1]
    if before in _BEFORE_TOKEN or not _AFTER_TOKEN.union(_KEYS).issuperset(after):
        return Secrecy.RANDOM
    return Secrecy.TEXTS if words[at] == "tokens" else Secrecy.ALL


def _of_key(words: list[str], at: int) -> Secrecy:
    before = words[at - 1] if at else ""
    return Secrecy.ALL if before in _KEYS else Secrecy.RANDOM
