"""An open loop: requests are made when they are due, however slow the server is, and every time counts from then."""
