"""Chapter 8: turning the filters up and down."""
