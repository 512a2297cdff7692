"""Chapter 4: re-training the found filters."""
