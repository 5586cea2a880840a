"""The components of MulDE, each usable alone: the frozen panel of teachers and the Senior between panel and Junior."""
