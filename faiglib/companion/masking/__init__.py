"""Chapter 3: what is lost when filters are masked."""
