"""The language model's adapter (litellm). Only workers import it, and only when a model is configured."""
