"""The demo model that translates: an English phrase book to French, with sentences and grammar composed here."""
