"""Fine-tuning: the loop, features and their cache, batches, checkpoints, and the learning-rate finder."""
