"""Command line of the campaign; see `campaign`."""

import argparse
import sys
import tempfile
from pathlib import Path

from tools.canaries import campaign


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; exit code 1 if an identifier leaked or the search is blind for one."""
    parser = argparse.ArgumentParser(prog="python -m tools.canaries", description=campaign.__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the identifiers")
    parser.add_argument("--keep", type=Path, help="an empty folder outside the repository to run in and keep")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="canaries-") as temporary:
        base = (given.keep or Path(temporary)).resolve()
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="hospital-") as hospital:
            source = campaign.simulate(campaign.root(), Path(hospital), given.studies)
            outcome = campaign.campaign(campaign.root(), source, base, studies=given.studies, seed=given.seed)
        print(campaign.told(outcome, base))
    return int(bool(outcome.hits or outcome.missed))


if __name__ == "__main__":
    sys.exit(main())
