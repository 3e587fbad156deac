"""Tests on a Ray cluster of several nodes, deployed as KubeRay does."""
