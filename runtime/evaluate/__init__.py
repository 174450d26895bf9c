"""From a model and a manifest to scores: answers are generated, judged, and compared. Only `model` needs torch."""
