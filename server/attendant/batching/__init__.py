"""Brain for rows that are computed independently of each other: the queue, which rows go together, the batch thread."""
