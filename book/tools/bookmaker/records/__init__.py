"""What is recorded of runs, and what catalogues read of them and of the project."""
