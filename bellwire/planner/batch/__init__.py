"""Plans for several requests at once, and for one request beside running plans."""
