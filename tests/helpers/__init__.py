"""What several test modules import."""
