"""What finished pages need besides what Sphinx, its theme, pandas and matplotlib put into them."""
