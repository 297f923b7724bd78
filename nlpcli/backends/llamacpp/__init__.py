"""llama.cpp: GGUF models as they are."""
