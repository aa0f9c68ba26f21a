"""See the path a packet takes: a fast, typed, asynchronous traceroute library."""
