"""Published graphs: catalogue, records and downloads."""
