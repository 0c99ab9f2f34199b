"""The device side: video in, a verdict per face out, without TensorFlow.

`python deploy/stream.py --help` is the command. The parts, in the order data flows through them:
`sources` → `keras_ddl.edge.clipper` → `backends` → `verdict` → `sinks`, glued by `pipeline`.
"""
