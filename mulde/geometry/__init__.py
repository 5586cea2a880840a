"""Functions on tensors with the curvature spelled out; no classes, no state."""
