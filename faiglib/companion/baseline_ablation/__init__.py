"""Chapter 7: other baselines, and gradient elimination."""
