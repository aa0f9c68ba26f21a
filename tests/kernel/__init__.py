"""Tests on a real kernel, inside namespaces that the rigs make."""
