"""How the world is read: episodes and datasets, tokenisers, importers, and every typed error."""
