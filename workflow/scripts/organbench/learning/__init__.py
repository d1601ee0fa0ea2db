"""Training: batches, augmentation, losses, the loop."""
