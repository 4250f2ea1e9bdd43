"""Doors: the commands, one file a group."""
