"""From counts to the metastatic cascade: the model, its engine, conditioning on counts and findings."""
