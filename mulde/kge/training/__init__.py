"""Training of KGE models: options, presets, stages, and the main job."""
