"""What a task means: text, images and audio in, tensors for a run; tensors out, vectors, labels and spans."""
