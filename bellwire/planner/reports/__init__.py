"""How plans are shown and told: text, JSON, Graphviz, SVG, and the instructions of every node."""
