"""Models that encode: text, images and audio to vectors, labels and scores, row by row."""
