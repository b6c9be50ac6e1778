"""The console's pages, asked as an application and read as people read them."""
