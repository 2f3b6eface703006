"""The sources of data, one a file."""

from striate.data.sources.detect import read_source
from striate.data.sources.named import NamedSet, named_sets

__all__ = ["NamedSet", "named_sets", "read_source"]
