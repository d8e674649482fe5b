"""Photo -> crops with a coarse hair probability, by a whole-image network or a patch classifier."""
