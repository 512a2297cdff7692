"""Chapter 9: what goes beyond the paper."""
