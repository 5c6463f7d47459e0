"""Parts of the server in processes of their own: how they begin, talk and end. What runs in them, others decide."""
