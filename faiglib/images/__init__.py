"""Images: files, sets, degradations, metrics, restoration, quality."""
