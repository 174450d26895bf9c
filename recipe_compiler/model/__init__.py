"""The language as types. The only room of pydantic."""
