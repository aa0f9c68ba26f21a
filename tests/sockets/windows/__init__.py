"""Windows sockets against a fake of the libraries that behaves as their documentation says."""
