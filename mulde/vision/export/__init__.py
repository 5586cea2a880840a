"""Exports of students: bundles with weights of 32, 16 or 8 bits, and ONNX."""
