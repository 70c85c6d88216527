"""Makes texts of a log safe to show: on one line of a terminal, in a sentence, in Markdown.

Invariant: text from a log (names, paths, messages) cannot move the cursor, colour the page, break a line,
open HTML or mention a user.
"""

import re

from rldk.schema.event import escaped

__all__ = ["literal", "plain", "sentence"]

_SPECIAL = re.compile(r"([\\*\[\]<>|#~]|(?<!\w)_|_(?!\w))")
_CODE = re.compile(r"(`[\w.='\"/*-]+`)")


def plain(text: str) -> str:
    """`text` on one line, with every unprintable character escaped."""
    shown = escaped(text)
    if shown.isprintable():
        return str(shown)
    return "".join(c if c.isprintable() else " " if c in "\n\t" else f"\\x{ord(c):02x}" for c in shown)


def sentence(text: str) -> str:
    """`text` with a capital letter at its start and a full stop at its end."""
    text = plain(text).strip()
    first, rest = text[:1], text[1:]
    # The name of a metric, an option or a checkpoint's folder keeps its spelling.
    word = text.split(" ", 1)[0]
    keep = "_" in word or word.endswith(":") or not first.isalpha()
    return (text if keep else first.upper() + rest) + ("" if text.endswith((".", "!", "?")) else ".")


def literal(text: str) -> str:
    """`text` with Markdown and GitHub mentions escaped; code in backquotes stays code."""
    pieces = _CODE.split(plain(text))
    return "".join(
        piece if index % 2 else _SPECIAL.sub(r"\\\1", piece).replace("`", "\\`").replace("@", "&#64;")
        for index, piece in enumerate(pieces)
    )
