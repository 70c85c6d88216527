"""Kills training loops that `rldk.record` records: `python kill_loop.py [KILLS]`.

A loop logs as fast as it can and is killed by SIGKILL some milliseconds after its first record; another one
resumes its run at a step before that, and is killed too. Promised: a record whose `log` had returned is never
missing, doubled or torn. Of the record that was being written the beginning may be there, as a line that
readers skip.
"""

from kills import attack_by_kills

CASES = {
    "no rules": "no rules",
    "all rules": "all rules",
    "all rules and resources": "resources",
    "rotation and gzip, parts of 20 kB": "parts",
}

if __name__ == "__main__":
    attack_by_kills(__doc__, "kill_loop", CASES, "records logged", quick=40, full=400)
