"""``attendant explain``: what a model looked at, drawn in a terminal, as a picture or as a page."""
