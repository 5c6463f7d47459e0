"""One request's life in asyncio: tokenise, admit, stream, detokenise, cancel."""
