"""Kill runs at random and resume them: ``python -m tests.faults.campaign --kills 200 --seed 1``."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.conftest import remove_segments, segments
from tests.faults.chain import WEAPONS, Chain, Strike, undisturbed

# Kills of one run at most
MOST_KILLS = 8


def campaign(n_kills: int, seed: int, folder: Path) -> list[Chain]:
    """Return runs that were killed so often in all; those that ended well have left no files."""
    dice = random.Random(seed)
    whole = undisturbed(folder)
    chains: list[Chain] = []
    left = n_kills
    while left > 0:
        place = folder / f"run-{len(chains)}"
        place.mkdir()
        chain = Chain(place, whole, dice, min(left, dice.randint(1, MOST_KILLS)))
        chain.go()
        if not chain.failure:
            shutil.rmtree(place)
        chains.append(chain)
        # A run that fails without a kill counts as one, so that this has an end
        left -= max(len(chain.strikes), bool(chain.failure))
        print(f"{n_kills - left} of {n_kills} kills", file=sys.stderr, flush=True)
    return chains


def table(strikes: list[Strike]) -> str:
    """Return how many strikes fell where, and how long a job took to end, as text."""
    weapons = list(WEAPONS)
    rows = [["", *weapons, "sum"]]
    counts = Counter((s.phase, s.weapon) for s in strikes)
    phases = sorted({s.phase for s in strikes})
    for phase in phases:
        row = [counts[phase, weapon] for weapon in weapons]
        rows.append([phase, *map(str, row), str(sum(row))])
    row = [sum(s.weapon == weapon for s in strikes) for weapon in weapons]
    rows.append(["sum", *map(str, row), str(sum(row))])
    for name, choose in (("end, median [s]", statistics.median), ("end, longest [s]", max)):
        times = [[s.seconds for s in strikes if s.weapon == weapon] for weapon in weapons]
        rows.append([name, *(f"{choose(t):.2f}" if t else "" for t in times), ""])
    return "\n".join("".join([f"{r[0]:<29}", *(f"{c:>15}" for c in r[1:])]) for r in rows)


def main() -> int:
    """Run the campaign; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the dice (1)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="simcore-faults-"))
    before, begin = segments(), time.monotonic()
    try:
        chains = campaign(arguments.kills, arguments.seed, folder)
    finally:
        remove_segments(segments() - before)
    strikes = [strike for chain in chains for strike in chain.strikes]
    print(table(strikes))
    failed = [chain for chain in chains if chain.failure]
    for chain in failed:
        print(f"{chain.folder}: {chain.failure}", *chain.commands, sep="\n  ")
    well = sum(len(chain.strikes) for chain in chains if not chain.failure)
    print(
        f"{well} of {len(strikes)} kills of {len(chains)} runs ended identical, "
        f"in {time.monotonic() - begin:.0f} s"
    )
    if not failed:
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
