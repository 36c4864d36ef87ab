"""A family's data as a whole: found in every table, written into a file for it, or erased."""
