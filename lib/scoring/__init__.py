"""Measure: how much a label of an image would teach, as far as pixels and proposals tell."""
