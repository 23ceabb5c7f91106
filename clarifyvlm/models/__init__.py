"""Models: loading, generation, checkpoints."""
