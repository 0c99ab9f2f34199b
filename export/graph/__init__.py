"""ONNX graph rewrites and what is counted in graphs."""
