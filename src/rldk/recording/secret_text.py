"""Blanking secrets in any text: a command line, JSON, a header, an address, a traceback, prose.

Owns how a name and its value are found in a text. Invariant: the value of a secret name is blanked to its
end, or to the end of its line where its end is not known; the time is in proportion to the text.
"""

import re

from rldk.recording.secret_names import (
    NAME_FIELDS,
    VALUE_FIELDS,
    Secrecy,
    looks_random,
    secrecy,
    secrecy_of_named,
)
from rldk.recording.token_shapes import blank_tokens

__all__ = ["BLANK", "is_value_of_option", "redact_text", "shortened"]

BLANK = "<redacted>"

MAX_VALUE = 100_000
"""Characters in which a quoted or bracketed value ends."""

MAX_REREAD = 10
"""So many times the length of a text, and that of ten long values, may be read to judge what is kept of it.

A value that is kept may hold further names: an honest text repeats little, `key=(key=(key=(` all of it.
"""

MAX_CUT_WORD = 200
"""Longer words are kept at a cut: what is left of a secret in them has its shape still."""

_LOGIN = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]{0,30}://)(?:[^/?#@\s\"'<>:]*+:[^\s\"'<>]*+|[^/?#\s\"'<>]*+)",
    re.IGNORECASE,
)
"""The part of an address that may hold a login: behind a colon a password may hold any character."""
_PORT = re.compile(r"\d{1,5}(?:[/?#]|$)")

_NAMED = re.compile(
    r"(?<![\w.\-])(?:(?P<option>-{1,2}[A-Za-z][\w.\-]*+)[ \t]++(?=\S)"
    r"|(?P<name>(?:(?:api|access|secret|private|auth)[ ])?[\w.\-]++)"
    r"(?:(?P<close>[\"'`\\\])]*+)\s*+(?:(?::=|=>|==|=|:(?!//))|%3[AaDd])\s*+"
    r"|(?P<pair>\\*+[\"']\s*+,\s*+)(?=[A-Za-z]{0,2}\\*[\"'])))",
    re.IGNORECASE,
)
"""A name and what leads to its value: `--name VALUE`, `name=VALUE`, `"name": VALUE`, `("name", "VALUE")`."""
_ANNOTATION = re.compile(
    r"[A-Za-z_][\w.]{0,80}(?:\[[^\]\n]{0,80}\])?(?:[ ]?\|[ ]?[\w.]{1,40}){0,4}[ ]*=(?!=)[ ]*(?=\S)"
)
"""The type of a parameter in a line of source, before its default."""
_OPENING = re.compile(r"[A-Za-z]{0,2}(?P<mark>(?P<escape>\\{0,16})(?:\"\"\"|'''|[\"'`]))")
_BODIES = {quote: re.compile(rf"(?:[^{quote}\\]|\\.)*+{quote}", re.DOTALL) for quote in "\"'`"}
_BRACKET = re.compile(r"[\"'(\[{)\]}]")
_PLAIN = re.compile(r"[^\s(\[{]++")
_NUMBER = re.compile(r"[-+]?\d[\d.,_]*(?:[eE][-+]?\d+)?[kKMGB%]?(?=[\s,;)\]}\"']|$)")
_JSON_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?=\s*[,}\]]|\s*$)")
_HARMLESS = re.compile(
    r"(?:none|null|true|false|\"\"|''|<redacted>|['\"]<redacted>['\"]|<unset>)(?=[\s,;)\]}\"'&\\]|$)",
    re.IGNORECASE,
)
"""Whether a secret is set may be known."""
_TRAILING = "\"'`)]},;\\"
_LINE_NAMES = ("authorization", "cookie")
"""Headers whose whole line is the secret."""
_NEXT_QUOTED = re.compile(r"\s*+,\s*+(?=[A-Za-z]{0,2}\\*[\"'])")
_NEXT_WORD = re.compile(r"[ \t]++(?P<word>\S++)")


def redact_text(text: str) -> str:
    """`text` without the secrets that its names and its shapes betray."""
    text = blank_tokens(text, BLANK)
    if "://" in text:
        text = _LOGIN.sub(_without_login, text)
    if any(mark in text for mark in (":", "=", "-", ",", "%3")):
        text = _without_named(text)
    return text


def shortened(text: str, limit: int) -> str:
    """The beginning of `text`, without the word that the cut goes through: it may be a part of a secret."""
    if len(text) <= limit:
        return text
    text = text[:limit]
    words = text.rsplit(maxsplit=1)
    return words[0] if len(words) > 1 and len(words[1]) <= MAX_CUT_WORD else text


def _without_login(found: re.Match[str]) -> str:
    whole, scheme = found[0], found["scheme"]
    rest = whole[len(scheme) :]
    at = rest.rfind("@")
    _, colon, behind = rest.partition(":")
    if at < 0 or (colon and _PORT.match(behind) and "@" not in behind.partition("/")[0]):
        return whole
    return f"{scheme}{BLANK}{rest[at:]}"


def _without_named(text: str) -> str:
    parts: list[str] = []
    done = at = 0
    announced = Secrecy.NONE
    left = MAX_REREAD * (len(text) + MAX_VALUE)
    while found := _NAMED.search(text, at):
        start = at = found.end()
        level = _level(text, found)
        own = (found["name"] or "").lower()
        if own in NAME_FIELDS and (named := _announced(text, start)) is not Secrecy.NONE:
            announced = named
            continue
        if announced is not Secrecy.NONE and own in VALUE_FIELDS:
            level, announced = announced, Secrecy.NONE
        if level is Secrecy.NONE or start >= len(text):
            continue
        end, opening, closing = _value(text, start, found)
        if end <= start:
            continue
        left -= end - start
        # What is blanked is not read again: from here on the rest of the text is read once.
        if left > 0 and _is_kept(text[start:end], level, quoted=bool(opening)):
            continue
        parts += [text[done:start], opening, BLANK, closing]
        done = at = end
        if level is not Secrecy.RANDOM and (found["option"] or own.startswith("-")):
            done = at = _end_of_values(text, end, parts)
    return "".join([*parts, text[done:]]) if parts else text


def is_value_of_option(word: str, before: int) -> bool:
    """Whether a word behind a secret option is a value of it: up to the next option or script.

    Args:
        word: the word.
        before: how many values the option has by now.
    """
    if word.startswith("--") or (word.startswith("-") and len(word) == 2):
        return False
    is_script = word.endswith((".py", ".yaml", ".yml", ".json", ".toml", ".sh"))
    return before == 0 or not (word.startswith("-") or is_script)


def _end_of_values(text: str, at: int, parts: list[str]) -> int:
    """Blank the further values of an option, whose first one ends at `at`; where the last one ends."""
    while True:
        if quoted := _NEXT_QUOTED.match(text, at):
            start = quoted.end()
            end, opening, closing = _end(text, start, "")
            word = text[start + len(opening) : end - len(closing)]
        elif following := _NEXT_WORD.match(text, at):
            start, end = following.span("word")
            opening, closing, word = "", "", following["word"]
        else:
            return at
        if not is_value_of_option(word, 1):
            return at
        parts += [text[at:start], opening, BLANK, closing]
        at = end


def _level(text: str, found: re.Match[str]) -> Secrecy:
    name = found["option"] or found["name"]
    before = text[found.start() - 1] if found.start() else ""
    if before == "\\" and name[0] in "nrt":  # the escape of a line's end, as `repr` writes it
        name = name[1:]
    level = secrecy(name)
    if found["pair"] is not None and not found["name"].startswith("-"):
        opened = text[max(found.start() - 20, 0) : found.start()].rstrip("\\\"'bru")[-1:]
        if level is not Secrecy.ALL or opened not in ("(", "["):
            return Secrecy.NONE
    return level


def _announced(text: str, at: int) -> Secrecy:
    """What the name that stands here as a value makes of the value that follows it."""
    name = re.split(r"[\\\"'\s,}]", text[at : at + 120].lstrip("\\\"'"), maxsplit=1)[0]
    return secrecy_of_named(name)


def _is_kept(value: str, level: Secrecy, *, quoted: bool) -> bool:
    if _HARMLESS.fullmatch(value):
        return True
    if level is Secrecy.ALL:
        return False
    if not quoted and _NUMBER.fullmatch(value):
        return True
    if value[0] in "[{(" and not any(quote in value for quote in "\"'"):
        return True
    return level is Secrecy.RANDOM and not looks_random(value.strip(_TRAILING))


def _value(text: str, start: int, found: re.Match[str]) -> tuple[int, str, str]:
    """Where the value ends that begins at `start`, and what is to stand on both sides of the blank."""
    name = (found["option"] or found["name"]).lower()
    if annotation := _ANNOTATION.match(text, start):
        return _end(text, annotation.end(), name)[0], "", ""
    if found["close"] and (number := _JSON_NUMBER.match(text, start)):
        return number.end(), "", ""
    if harmless := _HARMLESS.match(text, start):
        return harmless.end(), "", ""
    return _end(text, start, name)


def _end(text: str, start: int, name: str) -> tuple[int, str, str]:
    if opening := _OPENING.match(text, start):
        end = _end_of_quoted(text, opening)
        if end > 0:
            return end, opening[0], opening["mark"]
        return _end_of_line(text, start), opening[0], ""
    if text[start : start + 1] in ("(", "[", "{"):
        return _end_of_brackets(text, start), "", ""
    if any(header in name for header in _LINE_NAMES):
        return _kept_closing(text, start, _end_of_line(text, start))
    return _kept_closing(text, start, _end_of_word(text, start))


def _end_of_quoted(text: str, opening: re.Match[str]) -> int:
    """The end of a quoted text, closing mark included; -1 where it is not closed."""
    mark, start = opening["mark"], opening.end()
    if opening["escape"] or len(mark) > 1:
        end = text.find(mark, start, start + MAX_VALUE)
        while end > 0 and text[end - 1] == "\\":
            end = text.find(mark, end + len(mark), start + MAX_VALUE)
        end = end + len(mark) if end >= 0 else -1
    else:
        body = _BODIES[mark].match(text, start, start + MAX_VALUE)
        end = body.end() if body else -1
    if end > 0 and "\n" in text[start:end] and text[end : end + 1] not in ("", *",)]};:\n\r \t\\\"'"):
        return -1
    return end


def _end_of_brackets(text: str, start: int) -> int:
    """The end of a bracketed text; where it is not closed, as far as brackets are looked for."""
    limit, depth, at = min(start + MAX_VALUE, len(text)), 0, start
    while found := _BRACKET.search(text, at, limit):
        at, mark = found.end(), found[0]
        if mark in _BODIES:
            body = _BODIES[mark].match(text, at, limit)
            at = body.end() if body else at
        else:
            depth += 1 if mark in "([{" else -1
            if depth <= 0:
                return at
    return limit


def _end_of_word(text: str, start: int) -> int:
    at = start
    while at < len(text):
        if plain := _PLAIN.match(text, at):
            at = plain.end()
        if text[at : at + 1] not in ("(", "[", "{"):
            break
        at = _end_of_brackets(text, at)
    return at


def _end_of_line(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _kept_closing(text: str, start: int, end: int) -> tuple[int, str, str]:
    """An end without the marks that close what is around the value."""
    rest = text[start:end].rstrip(_TRAILING)
    return start + len(rest) if rest else end, "", ""
