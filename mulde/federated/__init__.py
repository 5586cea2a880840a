"""Methods trained in rounds over several clients, by Flower."""
