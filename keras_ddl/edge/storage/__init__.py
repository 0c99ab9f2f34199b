"""Files that are not on this machine: object stores and web servers, through fsspec."""
