"""Write the arguments of `ctcascade report cohort`, one a line: its settings and the results of all jobs before it."""
# ruff: noqa: F821  (Snakemake puts `snakemake` here)

from pathlib import Path

arguments = ["--settings", snakemake.params.settings]
for kind in ("counts", "quality", "cascade", "prognosis"):
    arguments += [f"--{kind}", *snakemake.input[kind]]
Path(snakemake.output[0]).write_text("\n".join(arguments) + "\n", encoding="utf-8")
