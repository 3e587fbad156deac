"""Checks of the manifests that need no cluster."""
