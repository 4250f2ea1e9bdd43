"""Versions: which model serves, which one was before, and the rule that lets another take over."""
