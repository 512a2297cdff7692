"""A page about any pair of networks: what `faiglib report` makes."""
