"""TensorRT engines: rules for their graphs, the build, its gate."""
