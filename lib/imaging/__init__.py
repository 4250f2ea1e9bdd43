"""Pixels: volumes on grids, and what is measured on them. No torch."""
