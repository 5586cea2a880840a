"""Link prediction, triple classification, calibration, and the fit of the graph prior."""
