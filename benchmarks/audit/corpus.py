"""How many of the corpus' real bugs some layer catches, with nothing found in their mended twins."""
