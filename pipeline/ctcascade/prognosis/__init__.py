"""From counts, cascade and evidence to a prognosis, or a refusal."""
