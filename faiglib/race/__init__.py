"""Networks of one branch against networks of two."""
