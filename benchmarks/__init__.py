"""Speed, memory and scaling measurements; no part of the product."""
