"""Filters of a network: which there are, their scores and sets, putting others in their place."""
