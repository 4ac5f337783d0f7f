"""Customer messages of an online shop: a small data set and the demo that ``make demo`` runs on it."""
