"""What the pages of regions and their lab agree on, without Django."""

PASSWORD = "a-long-enough-word"
