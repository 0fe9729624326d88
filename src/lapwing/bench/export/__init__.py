"""The same weights in every runtime's own format, made from a Hugging Face directory."""
