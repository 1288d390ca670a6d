"""The vault of personal data: who stands behind an id. Nothing of it leaves for any journal."""
