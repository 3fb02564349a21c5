"""One estimator a module: each takes a game and gives values per document and player, [D, N]."""
