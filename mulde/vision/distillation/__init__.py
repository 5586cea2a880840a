"""The main job on images: train a student by a method, keep it, and evaluate it."""
