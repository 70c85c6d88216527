"""Plants secrets into generated configurations, texts and command lines: `python planted_secrets.py [N]`.

Runs the property tests of redaction with N examples each. Promised: no file of a run holds a secret that
was planted, and harmless values stay.
"""

import re
import subprocess
import sys

from attack import ROOT, Report, options
from fork_server import environment

TESTS = ("test_redaction.py", "test_secret_*.py")
RUN = """
import sys, pytest
from hypothesis import settings
settings.register_profile("attack", deadline=None, max_examples=int(sys.argv[1]))
sys.exit(pytest.main([*sys.argv[2:], "-q", "--hypothesis-profile=attack", "--hypothesis-show-statistics"]))
"""
TEST = re.compile(r"\S+::test_(\S+):")
EXAMPLES = re.compile(r"(\d+) passing\D+(\d+) failing")


def main() -> None:
    given = options(__doc__, quick=100, full=2_000, what="examples")
    report = Report("planted_secrets")
    folder = ROOT / "tests" / "recording"
    files = [str(path) for pattern in TESTS for path in sorted(folder.glob(pattern))]
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(given.count), *files, f"--hypothesis-seed={given.seed}"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    case = ""
    for line in done.stdout.splitlines():
        if match := TEST.fullmatch(line):
            case = match[1].replace("_", " ")
        elif match := EXAMPLES.search(line):
            report.count(case, tries=int(match[1]) + int(match[2]), failed=int(match[2]))
    if done.returncode:
        report.fail("property tests", done.stdout[-3000:])
    report.end()


if __name__ == "__main__":
    main()
