"""The demo model: a small decoder that answers a shop's customers, trained on dialogues composed here."""
