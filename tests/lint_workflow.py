"""Run `snakemake --lint` without its wish for one conda environment a rule: the project pins one for all of it."""

import sys

import snakemake.cli  # must come before the linter, which it imports in a circle
from snakemake.linting.rules import RuleLinter

del RuleLinter.lint_missing_software_definition
sys.argv = ["snakemake", "--lint", *sys.argv[1:]]
snakemake.cli.main()
