"""Chapter 10: the trained networks."""
