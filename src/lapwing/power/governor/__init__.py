"""Pure functions from what was seen to what is done: no clock, no file, no sensor."""
