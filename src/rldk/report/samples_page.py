"""Samples for people and for programs: rewards, end, prompt and completion of each.

Invariant: a model's text cannot move the cursor, change colours or open markup; a mark shows where text is
left out.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule as Line
from rich.text import Text

from rldk.doctor.sample_evidence import SampleEvidence
from rldk.health.text import literal
from rldk.report.terminal import WIDEST, printing
from rldk.report.text import counted, number, plain, strict
from rldk.runs.message_text import completion_text, excerpt, last_user_text
from rldk.runs.samples import Sample

__all__ = ["as_markdown", "as_object", "print_samples"]

ENDS = {"eos": "ended with an end token", "cut": "cut at the limit", "other": "ended otherwise"}
WHYS = {
    "best": "the best of its step",
    "worst": "the worst of its step",
    "random": "a random completion",
    "cut": "a cut completion",
    "missing": "a completion without a value",
    "ended-unseen": "a completion whose end token the trainer does not count",
}
PROMPT = 200
"""Most characters of a prompt."""
HEAD, TAIL = 300, 400
"""Characters of the start and of the end of a shortened completion."""
LINES = 8
"""Most lines of each."""
WRAPPED = 100_000
"""Most characters to wrap: wrapping these takes half a second, ten megabytes take a minute."""


def print_samples(
    console: Console, title: str, samples: Sequence[SampleEvidence], *, full: bool, more: str
) -> None:
    """Print a page.

    Args:
        console: the console to print on.
        title: the headline.
        samples: the samples.
        full: whether to show whole completions.
        more: hint for more output; may be empty.
    """
    width = min(console.width, WIDEST)
    with printing(console) as out:
        out.print(Text(plain(title), "bold"), width=width)
        for shown in samples:
            out.print()
            for part in _head(shown):
                out.print(part, width=width)
            first, left_out, last = _shortened(shown.sample, full=full, end=shown.end)
            _print_lines(out, first or ([] if last else ["(nothing)"]), width)
            if left_out:
                out.print(_indented(Text(_mark(left_out), "bold magenta"), 4), width=width)
            _print_lines(out, last, width)
        if more:
            out.print(Text(f"\n{more}", "dim"), soft_wrap=True)


def as_markdown(title: str, samples: Iterable[SampleEvidence], *, full: bool) -> str:
    """The page as Markdown."""
    lines = [f"### {literal(title)}", ""]
    for shown in samples:
        sample = shown.sample
        first, left_out, last = _shortened(sample, full=full, end=shown.end)
        body = [*first, *([_mark(left_out)] if left_out else []), *last] or ["(nothing)"]
        longest = max((len(run) for line in body for run in re.findall("`+", line)), default=0)
        fence = "`" * max(longest + 1, 3)
        lines += [f"#### {literal(' · '.join(_worth(sample)))}", ""]
        lines += [f"**{literal(shown.why)}**", ""] if shown.why else []
        lines += [f"{literal('; '.join(_summary(sample)))}", "", f"> {literal(_prompt(sample))}", ""]
        lines += [f"{fence}text", *body, fence, ""]
    return "\n".join(lines).rstrip() + "\n"


def as_object(shown: SampleEvidence, finding: str | None) -> dict[str, Any]:
    """A sample as plain data for strict JSON.

    Args:
        shown: the sample.
        finding: the rule whose finding it shows; None without `--finding`.
    """
    result: dict[str, Any] = msgspec.to_builtins(shown.sample, enc_hook=str)
    if finding is not None:
        result |= {"finding": finding, "shows": shown.why}
    found: dict[str, Any] = strict(result)
    return found


def _head(shown: SampleEvidence) -> Iterable[RenderableType]:
    sample = shown.sample
    step, *worth = _worth(sample)
    head = Text.assemble((step, "bold"), *(f" · {value}" for value in worth))
    yield Line(head, align="left", style="cyan", characters="─")
    if shown.why:
        yield _indented(Text(plain(shown.why), "bold yellow"))
    yield _indented(Text("; ".join(_summary(sample)), "yellow" if sample.end == "cut" else "default"))
    yield _indented(Text(_prompt(sample), "dim"))


def _print_lines(out: Console, lines: list[str], width: int) -> None:
    if sum(map(len, lines)) > WRAPPED:
        out.out("\n".join(f"    {line}" for line in lines), highlight=False)
        return
    for line in lines:
        out.print(_indented(Text(line), 4), width=width)


def _indented(part: RenderableType, by: int = 2) -> Padding:
    return Padding(part, (0, 0, 0, by))


def _worth(sample: Sample) -> list[str]:
    """The step, the reward, and the value of each function."""
    values = [f"{plain(name)} {_value(value)}" for name, value in sample.rewards.items()]
    alone = len(values) == 1 and sample.reward in (None, *sample.rewards.values())
    reward = [] if alone or sample.reward is None else [f"reward {number(sample.reward)}"]
    if sample.advantage is not None:
        values.append(f"advantage {number(sample.advantage)}")
    step = f"step {sample.step:,}" + (" (eval)" if sample.phase == "eval" else "")
    return [step, *reward, *values]


def _value(value: float | None) -> str:
    return "none" if value is None else number(value)


def _summary(sample: Sample) -> list[str]:
    """Length and end of a completion, why rldk kept it, and how much of it was not recorded."""
    size = f"{len(completion_text(sample.completion)):,} characters"
    if sample.length is not None:
        size = counted(sample.length, "token")
    texts = [f"{size}, {ENDS[sample.end]}" if sample.end else size]
    if sample.why:
        texts.append(f"kept as {' and '.join(WHYS[why] for why in sample.why)}")
    if sample.group is not None and sample.index is not None:
        texts.append(f"completion {sample.index}, prompt {sample.group}")
    if sample.cut_chars:
        texts.append(f"{counted(sample.cut_chars, 'character')} not recorded")
    return texts


def _prompt(sample: Sample) -> str:
    earlier = 0 if isinstance(sample.prompt, str) else len(sample.prompt) - 1
    suffix = f" (after {counted(earlier, 'message')})" if earlier > 0 else ""
    return f"prompt{suffix}: {plain(excerpt(last_user_text(sample.prompt), PROMPT))}"


def _shortened(sample: Sample, *, full: bool, end: bool) -> tuple[list[str], int, list[str]]:
    """The first lines of a completion, the number of characters left out, and the last lines."""
    text = completion_text(sample.completion)
    lines = text.splitlines()
    head, tail = (HEAD // 2, TAIL + HEAD // 2) if end else (HEAD, TAIL)
    if full or (len(text) <= head + tail and len(lines) <= 2 * LINES):
        return [plain(line) for line in lines], 0, []
    first = text[:head].splitlines()[:LINES]
    last = text[-tail:].splitlines()[-LINES:]
    left_out = len(text) - sum(map(len, (*first, *last)))
    return [plain(line) for line in first], left_out, [plain(line) for line in last]


def _mark(left_out: int) -> str:
    return f"[… {counted(left_out, 'character')} left out: --full shows them …]"
