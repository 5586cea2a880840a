"""The verbs for stored students of image methods. A verb that is given one runs the file of its name in this folder."""
