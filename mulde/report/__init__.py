"""A report of one or several runs as a single HTML page that needs nothing else, no network either."""
