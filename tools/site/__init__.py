"""The parts of `make report`: what becomes a page, and how."""
