"""From packed data to a trained model."""
