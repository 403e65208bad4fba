"""From calls to counts per 7.5 mL: observation, reviews and their agreement, quality, the operator."""
