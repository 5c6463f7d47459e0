"""What the APIs take, for people and for programs that make clients: an OpenAPI page, readable without a network."""
