"""Networks: model cards, ONNX sessions, execution providers and what happens when one fails."""
