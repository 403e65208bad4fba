"""Write the arguments of a verb over many results, one a line: its settings and the results of all jobs before it."""
# ruff: noqa: F821  (Snakemake puts `snakemake` here)

from pathlib import Path

arguments = ["--settings", snakemake.params.settings]
for kind, files in snakemake.input.items():
    arguments += [f"--{kind}", *files]
Path(snakemake.output[0]).write_text("\n".join(arguments) + "\n", encoding="utf-8")
