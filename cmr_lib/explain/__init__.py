"""Looking inside: where and when the model attends, a map of its embeddings, and checks that either means something."""
