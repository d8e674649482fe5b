"""How the networks are made, and measured; README.md says how to run it."""

import hairmask_core.inference.session  # noqa: F401  (before anything else loads ONNX Runtime: it would report its use)
