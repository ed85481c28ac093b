"""How the bundled base model is made from images that the project renders itself, and how anyone makes a better one."""
