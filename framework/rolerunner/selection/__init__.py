"""Selection of objects and files: filters, lists, local files, existing targets."""
