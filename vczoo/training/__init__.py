"""Fine-tuning: sessions, the trainer and its callbacks, one step, and the learning-rate finder."""
