"""File formats, one file each; files that begin with an underscore are what the formats share."""
