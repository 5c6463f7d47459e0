"""What is asked when."""
