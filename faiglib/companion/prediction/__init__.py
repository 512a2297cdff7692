"""Chapter 6: predicting an image's degradation."""
