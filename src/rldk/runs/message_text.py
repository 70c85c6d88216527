"""Prompts and completions as plain text: what was said, what was asked last, an excerpt.

Invariant: any text or conversation gives a text; what is left out of an excerpt is marked.
"""

from collections.abc import Mapping
from typing import Any

from rldk.schema.sample import Text

__all__ = ["GAP", "completion_text", "excerpt", "last_user_text", "message_text"]

GAP = " […] "
"""Stands for what an excerpt leaves out."""


def completion_text(completion: Text) -> str:
    """A completion; the messages of several are told apart by who says them."""
    if isinstance(completion, str):
        return completion
    if len(completion) == 1:
        return message_text(completion[0])
    return "\n".join(f"{message.get('role')}: {message_text(message)}" for message in completion)


def last_user_text(prompt: Text) -> str:
    """A prompt; of a conversation the last message of the user, or the last one where no user speaks."""
    if isinstance(prompt, str):
        return prompt
    of_user = [message for message in prompt if message.get("role") == "user"]
    return message_text((of_user or prompt)[-1]) if prompt else ""


def message_text(message: Mapping[str, Any]) -> str:
    """The text of a message: its content, of several parts those of text, and its calls of tools."""
    content = message.get("content")
    if isinstance(content, list | tuple):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return " ".join(str(part) for part in (content, message.get("tool_calls")) if part)


def excerpt(text: str, most: int, *, end: bool = False) -> str:
    """At most `most` characters of a text: of its end alone, or of its beginning and its end."""
    text = text.strip()
    if len(text) <= most:
        return text
    if end:
        return GAP.lstrip() + text[len(text) - most + len(GAP) :].lstrip()
    half = (most - len(GAP)) // 2
    return text[:half].rstrip() + GAP + text[len(text) - half :].lstrip()
