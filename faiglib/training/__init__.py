"""Training: recipe, trainer, checkpoint, what it is for, patches, runs, publishing."""
