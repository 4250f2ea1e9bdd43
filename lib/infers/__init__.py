"""Propose: MONAI Label infer tasks, and the one function behind them."""
