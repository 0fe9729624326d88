"""Power and heat: `sensors` read the world and decide nothing; `governor` decides, unseeing."""
