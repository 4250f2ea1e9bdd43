"""renal-loop: an active-learning server for small renal masses on MRI."""

__version__ = "0.1.0"
