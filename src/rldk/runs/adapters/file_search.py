"""Searches a file that may be a printed log: is it data throughout, and does a pattern occur later in it?

Invariant: it reads at most `SCAN_BYTES` of a file.
"""

import gzip
import re
import zlib

from rldk.runs.adapters.base import Probe, open_binary

__all__ = ["contains", "is_data_file"]

SCAN_BYTES = 1 << 25
"""Bytes that it searches for the first record, as hours of other output may precede it."""

OVERLAP = 512
"""Bytes of a block that it searches again with the next block, as a record may lie in both."""


def is_data_file(probe: Probe) -> bool:
    """Whether the whole file is JSON or a table, which other adapters read."""
    suffixes = (".json", ".jsonl", ".csv", ".tsv")
    return probe.name.endswith(suffixes) or re.match(r"\s*[\[{]\s*[\"{\[}]", probe.text) is not None


def contains(probe: Probe, pattern: re.Pattern[bytes]) -> bool:
    """Whether `pattern` occurs in the first 32 MiB.

    If a gzip file is damaged, it searches the bytes before the damage.
    """
    with open_binary(probe.path) as file:
        rest, left = b"", SCAN_BYTES
        try:
            # At the damage, `read` would lose the bytes before it.
            while left > 0 and (block := file.read1(1 << 20)):
                if pattern.search(rest + block):
                    return True
                rest = (rest + block)[-OVERLAP:]
                left -= len(block)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            pass
    return False
