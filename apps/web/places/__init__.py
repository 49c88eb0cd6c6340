"""What the pages of regions, frames and transforms show, gathered through the selectors of the apps below."""
