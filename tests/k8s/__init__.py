"""Tests of the manifests and their checks."""
