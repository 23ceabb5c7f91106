"""What the four stages agree on: records, strategies, chat messages, judges. Imports no stage."""

__version__ = "0.1.0"
