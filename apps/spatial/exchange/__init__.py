"""Places and transforms in the files of other programs, out and in.  Nothing here reads rows; all lengths are um."""
