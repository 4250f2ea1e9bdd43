"""Ask: which case comes next."""
