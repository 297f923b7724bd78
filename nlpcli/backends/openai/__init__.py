"""Language models on any OpenAI-compatible server, over HTTP."""
