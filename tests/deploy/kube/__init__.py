"""Tests of rendering for Kubernetes."""
