"""Cannot be imported, as a package whose C library is missing."""

raise ImportError("libmoon.so.1: cannot open shared object file")
