"""All that a person writes: settings, sheets, assays, patients, reviews, scenarios; each read once, into a type."""
