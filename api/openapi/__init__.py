"""OpenAPI and AsyncAPI documents, made from the resources and from the types of the records."""
