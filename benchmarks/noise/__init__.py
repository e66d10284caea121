"""How good, how fast and how dear the noise is."""
