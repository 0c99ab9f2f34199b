"""TensorRT engines: preparation and rules of their graphs, the build, the checks."""
