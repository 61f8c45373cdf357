"""What the API and the topics look like, for programs: OpenAPI and AsyncAPI, made from our types.

A module here describes the routes of the module of the same name in `api`.
"""
