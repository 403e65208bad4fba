"""Run every bench_*.py beside this file and print one table: what was timed, the figure, and what it is set against."""

from pathlib import Path

from tests.support.rows import table


def main() -> None:
    """Print the table."""
    table(Path(__file__).parent, "bench_*.py", ("what", "figure", "beside"))


if __name__ == "__main__":
    main()
