"""Decide: which side of the split, whether to retrain, whether to go live. Never imports torch."""
