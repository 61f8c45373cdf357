// A file of its own: the page's policy allows no script within it.

// Swagger UI has dark colours, and leaves it to the page when to show them.
const dark = matchMedia("(prefers-color-scheme: dark)");
const showColours = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", showColours);
showColours();

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  // groups are closed at first: a reader sees them all, each with a sentence
  docExpansion: "none",
  deepLinking: true,
  displayRequestDuration: true,
  // asks no other host
  validatorUrl: "none",
});
