"""GeoQuery: questions about geography to SQL or logic, by words and by the shape of the query."""
