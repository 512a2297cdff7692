"""What makes the book: one folder a chapter, and what chapters share."""
