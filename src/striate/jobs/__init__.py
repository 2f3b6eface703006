"""The jobs that the command line, the page and Python call, one file a job."""
