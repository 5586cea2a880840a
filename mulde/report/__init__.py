"""Tables for terminal, Markdown and notebooks, and the HTML report."""
