"""Run every verify_*.py beside this file and print one table: what was checked, what came out, and the verdict.

A verdict begins with "pass", "fail", "skipped", or "known" for a miss that is stated as a limit of the method; one that
fails ends this with 1.
"""

import sys
from pathlib import Path

from tests.support.rows import table

HERE = Path(__file__).parent


def main() -> int:
    """Print the table; return 1 when a row fails."""
    rows = table(HERE, "verify_*.py", ("what", "found", "verdict"))
    verdicts = [verdict.lower() for *_, verdict in rows]
    print(
        ", ".join(
            f"{sum(v.startswith(word) for v in verdicts)} {word}" for word in ("pass", "fail", "known", "skipped")
        )
    )
    print("\nMissed, and stated as a limit of the method:")
    for what, found, verdict in rows:
        if verdict.lower().startswith("known"):
            print(f"  {what}: {found.split(';')[0]}")
    return int(any(not verdict.startswith(("pass", "known", "skipped")) for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
