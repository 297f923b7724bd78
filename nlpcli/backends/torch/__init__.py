"""Models through PyTorch and transformers, one file a kind: every architecture and device."""
