"""Owns two questions to a file that may be a printed log: is it data throughout, and what comes later in it?

Invariant: at most `SCAN_BYTES` of the file are read.
"""

import gzip
import re
import zlib

from rldk.runs.adapters.base import Probe, open_binary

__all__ = ["contains", "is_data_file"]

SCAN_BYTES = 1 << 25
"""How far a file is searched for its first record: hours of other output may come before it."""

OVERLAP = 512
"""Bytes of a block that are searched again with the next one: a record may lie in both."""


def is_data_file(probe: Probe) -> bool:
    """Whether the file is JSON or a table throughout, which other adapters read."""
    suffixes = (".json", ".jsonl", ".csv", ".tsv")
    return probe.name.endswith(suffixes) or re.match(r"\s*[\[{]\s*[\"{\[}]", probe.text) is not None


def contains(probe: Probe, pattern: re.Pattern[bytes]) -> bool:
    """Whether `pattern` occurs in the first 32 MiB, however long the output before it.

    Of a gzip file that is cut short or damaged what can be unpacked is searched.
    """
    with open_binary(probe.path) as file:
        rest, left = b"", SCAN_BYTES
        try:
            # `read` would lose what it has gathered when it meets the damage.
            while left > 0 and (block := file.read1(1 << 20)):
                if pattern.search(rest + block):
                    return True
                rest = (rest + block)[-OVERLAP:]
                left -= len(block)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            pass
    return False
