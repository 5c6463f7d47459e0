"""Reranking, scores and labels of texts, as Jina, Cohere and vLLM have them over HTTP."""
