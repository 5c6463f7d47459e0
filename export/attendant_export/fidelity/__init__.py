"""What a precision changes of what a user reads: measured on natural text, judged by limits, told in the bundle."""
