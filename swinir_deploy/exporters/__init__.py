"""From a network to files that a back end runs: checked ONNX, with what it says about itself."""
