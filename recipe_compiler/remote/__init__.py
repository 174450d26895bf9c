"""Files in stores elsewhere, by URL. The only room of fsspec; nothing here is loaded for local files."""
