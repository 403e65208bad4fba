"""Run `snakemake --lint` without its rule of one conda environment for each rule: the project pins one for all."""

import sys

import snakemake.cli  # must come before the linter, because the two import each other
from snakemake.linting.rules import RuleLinter

del RuleLinter.lint_missing_software_definition
sys.argv = ["snakemake", "--lint", *sys.argv[1:]]
snakemake.cli.main()
