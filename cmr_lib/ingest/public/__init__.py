"""Public data sets, each by an adapter of its own: layout, labels, citation and licence stated, nothing downloaded."""
