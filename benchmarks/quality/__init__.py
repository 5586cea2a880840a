"""Quality on test splits."""
