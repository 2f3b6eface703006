"""The lectures' equations in plain NumPy: the page a teacher opens, and the oracle of the tests.

Every layer is two functions: one for its output, one for the gradients of what went in, given the
gradient of what came out. Images are arrays of shape (N, C, H, W) as in PyTorch, sequences (N, C, L).
"""

__all__: list[str] = []
