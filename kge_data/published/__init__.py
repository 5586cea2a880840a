"""Published graphs: the catalogue, what a record holds, and downloading."""
