"""How far the answers of a precision, or of another checkpoint, are from a reference's."""
