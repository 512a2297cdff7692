"""What fills the written pages: each module the places that a page keeps for it."""
