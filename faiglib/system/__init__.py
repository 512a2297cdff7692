"""What everything stands on: files, tensors, devices, interruption, provenance, stored results."""
