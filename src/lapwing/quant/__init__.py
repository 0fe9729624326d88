"""Quantization: the plane formula, and which weights are stored how."""
