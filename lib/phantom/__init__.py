"""Synthetic patients: anatomy, MR signal and scanners, for demonstrations, tests and first training."""
