"""From a record to its effects, once. Knows no business word; README.md says what it promises."""
