"""Kills processes that write records as fast as they can: `python kill_writer.py [KILLS]`.

Ten processes after each other write to one run; each is killed by SIGKILL some milliseconds after its first
record. Promised: a record whose write had returned is never missing, doubled or torn. Of the record that
was being written the beginning may be there, as a line that readers skip.
"""

from kills import attack_by_kills

CASES = {
    "plain": "plain",
    "rotation": "parts",
    "rotation and gzip, parts of 20 kB": "rotating",
    "rotation and gzip, parts of 1 MB": "large parts",
    "3,000 metrics a record": "wide",
    "3,000 metrics a record, rotation and gzip": "wide rotating",
}

if __name__ == "__main__":
    attack_by_kills(__doc__, "kill_writer", CASES, "records written", quick=60, full=510)
