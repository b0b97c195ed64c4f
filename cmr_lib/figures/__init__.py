"""Every picture of the project: tidy data in, a matplotlib Figure out; `style.save` writes byte-stable PNG and PDF.

style: look and saving. hospital: the phantom and its cohort. clips: what preprocessing kept. training: loss and what
was learned. retrieval, classification: results with intervals and chance. maps: UMAP and attention.
atlas, interactive: the map with its hearts, newcomers and worth. looking: attention, judged. results: summary.
"""
