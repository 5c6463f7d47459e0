"""LoRA adapters, merged at export."""
