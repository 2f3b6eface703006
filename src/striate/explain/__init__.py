"""Seeing what a net does: filters on images, and gradients checked and followed."""
