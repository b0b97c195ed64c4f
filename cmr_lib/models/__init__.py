"""The two towers and what joins them: video, text, CMRformer, and weights in and out."""
