"""Facts: the tables, records and errors that every other folder reads."""
