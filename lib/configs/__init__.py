"""Assemble: settings, and the tasks built from the tables."""
