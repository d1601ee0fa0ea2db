"""The patients of the OpenKBP challenge: who they are, and fetching them."""
