"""Windows CPython under Wine: its set-up, and the tests that run inside it, in a network of their own."""
