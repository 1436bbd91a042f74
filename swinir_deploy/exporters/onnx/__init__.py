"""From a network to a checked ONNX file."""
