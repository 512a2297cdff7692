"""What the pages of the book share: looks, tables, links to the source, budgets, things to move by hand."""
