"""Chapter 2: the method, step by step."""
