"""Files that llama.cpp's own converter wrote."""
