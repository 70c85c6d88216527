"""Prompts and completions as plain text: a whole completion, the last user message, an excerpt.

Invariant: any text or conversation gives a text; a mark shows where an excerpt leaves text out.
"""

from collections.abc import Mapping
from typing import Any

from rldk.schema.sample import Text

__all__ = ["GAP", "completion_text", "excerpt", "last_user_text", "message_text"]

GAP = " […] "
"""Mark for the text that an excerpt leaves out."""


def completion_text(completion: Text) -> str:
    """A completion; if it has several messages, each begins with its role."""
    if isinstance(completion, str):
        return completion
    if len(completion) == 1:
        return message_text(completion[0])
    return "\n".join(f"{message.get('role')}: {message_text(message)}" for message in completion)


def last_user_text(prompt: Text) -> str:
    """A prompt; for a conversation, the last message of the user, or the last message if there is no user."""
    if isinstance(prompt, str):
        return prompt
    of_user = [message for message in prompt if message.get("role") == "user"]
    return message_text((of_user or prompt)[-1]) if prompt else ""


def message_text(message: Mapping[str, Any]) -> str:
    """The text of a message: its content (the text parts, if it has several) and its tool calls."""
    content = message.get("content")
    if isinstance(content, list | tuple):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return " ".join(str(part) for part in (content, message.get("tool_calls")) if part)


def excerpt(text: str, most: int, *, end: bool = False) -> str:
    """At most `most` characters of a text: its start and its end, or only its end."""
    text = text.strip()
    if len(text) <= most:
        return text
    if end:
        return GAP.lstrip() + text[len(text) - most + len(GAP) :].lstrip()
    half = (most - len(GAP)) // 2
    return text[:half].rstrip() + GAP + text[len(text) - half :].lstrip()
