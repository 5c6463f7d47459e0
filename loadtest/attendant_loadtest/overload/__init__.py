"""Offered load beyond capacity: what a server still answers in time, with its predictions and without them."""
