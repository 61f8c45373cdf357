// A file of its own: the page's policy allows no script within it.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  docExpansion: "list",
  deepLinking: true,
  displayRequestDuration: true,
  // asks no other host
  validatorUrl: "none",
});
