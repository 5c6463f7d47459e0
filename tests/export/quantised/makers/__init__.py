"""Small checkpoints that the makers of each format wrote, with the weights that their own code reads from them."""
