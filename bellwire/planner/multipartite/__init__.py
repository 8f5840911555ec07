"""GHZ states and graph states of three and more nodes."""
