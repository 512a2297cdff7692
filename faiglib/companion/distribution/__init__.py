"""Chapter 5: where the filters lie."""
