"""What main.py serves: ask, demo, publish."""
