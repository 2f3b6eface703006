"""The sources of data, one a file."""
