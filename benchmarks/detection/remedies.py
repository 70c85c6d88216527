"""Does the doctor's first remedy cure? Trains ill runs again with it, and writes docs/remedies.md.

`python benchmarks/detection/remedies.py [NAME...] [--healthy] [--treat] [--fresh] [--page] [--check]`:
`--healthy` trains the healthy siblings that are not stored; `--treat` asks the doctor for the first remedy of
each ill run, applies it to the recipe by `cures/prescription.py` and trains it from the same start and seed,
unless that very training is known; `--fresh` takes the runs that were kept for the end. `--page` writes the
page, `--check` exits 1 if the page is not that of remedies.json, or if a threshold is missed.

What counts as cured stands in `cures/outcome.py`. Needs TRL 1.16 and peft for the trainings.
"""

import argparse
import sys

from cures.table import PAGE, RESULTS, Results, into_page, load, missed, save

__all__ = ["main"]


def main() -> int:
    """Train and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="ill runs; default: all")
    parser.add_argument("--healthy", action="store_true", help="train the missing healthy siblings")
    parser.add_argument("--treat", action="store_true", help="train with the first remedy")
    parser.add_argument("--fresh", action="store_true", help="with --treat: the runs kept for the end")
    parser.add_argument("--page", action="store_true", help="write the page")
    parser.add_argument("--check", action="store_true", help="compare the page, and check the thresholds")
    options = parser.parse_args()
    results = load(RESULTS)
    if options.healthy or options.treat:
        from cures.ward import healthy, treat  # needs TRL

        names = set(options.names)

        def wanted(name: str) -> bool:
            return not names or name in names

        if options.healthy:
            healthy(results, wanted, save)
        if options.treat:
            treat(results, wanted, save, fresh=options.fresh)
    if options.page:
        PAGE.write_text(into_page(PAGE.read_text(), results))
    if options.check:
        return _checked(results)
    return 0


def _checked(results: Results) -> int:
    problems = missed(results)
    if PAGE.read_text() != into_page(PAGE.read_text(), results):
        problems.append(f"{PAGE.name} is not what {RESULTS.name} says: run with --page")
    print("\n".join(problems), file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
