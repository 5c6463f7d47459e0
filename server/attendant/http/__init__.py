"""What speaks HTTP: one ASGI app in the server's event loop, with a file of routes for each surface."""
