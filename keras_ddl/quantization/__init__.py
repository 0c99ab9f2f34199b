"""int8: which layers, which ranges, and what each costs."""
