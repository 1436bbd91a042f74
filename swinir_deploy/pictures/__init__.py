"""Picture files, without a model."""
