"""Configuration: frozen models of one YAML file and its loader."""
