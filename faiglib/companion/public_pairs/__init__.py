"""The claims of the book on networks that others trained, and whether the path tells beforehand how they end."""
