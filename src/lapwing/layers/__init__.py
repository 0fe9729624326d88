"""Building blocks of models: they name every axis and know no file format and no sensor."""
