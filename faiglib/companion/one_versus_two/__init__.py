"""Chapter 1: one branch against two."""
