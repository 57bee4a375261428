"""Templates in memory, and the search over them."""
