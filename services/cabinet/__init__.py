"""The cabinet: what families, payers and machines see. Owns nothing it cannot rebuild."""
