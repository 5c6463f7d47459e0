"""The demo model for images: a small vision Transformer that tells shapes apart, trained on pictures drawn here."""
