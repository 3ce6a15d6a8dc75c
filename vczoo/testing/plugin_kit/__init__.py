"""What plugins' authors are given: a distribution that works, written, and a whole plugin checked."""
