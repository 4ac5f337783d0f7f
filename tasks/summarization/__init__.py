"""Summaries of documents, of any data set that has both."""
