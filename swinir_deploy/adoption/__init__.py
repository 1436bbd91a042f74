"""Take an ONNX file by another program: find out what it takes, and write a copy that says so."""
