"""Export networks to files for the back ends: checked ONNX with metadata, and engines."""
