"""Chapter 11: speed and memory."""
