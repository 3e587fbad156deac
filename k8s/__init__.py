"""Kubernetes manifests and their rendering."""
