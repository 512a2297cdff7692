"""Whether a finished book is whole: its files, and every page in a browser without a network."""
