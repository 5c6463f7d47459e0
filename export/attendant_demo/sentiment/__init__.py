"""The demo classifier: a small DistilBERT that reads reviews of phones, trained on reviews composed here."""
