"""What the Makefile calls: tools around the library, never imported by it."""
