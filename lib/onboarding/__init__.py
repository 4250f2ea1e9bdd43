"""A new scanner on board: what is different about it, what to label first, and whether it may be used."""
