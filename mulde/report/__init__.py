"""Reports: tables for terminal and Markdown, and a self-contained HTML page."""
