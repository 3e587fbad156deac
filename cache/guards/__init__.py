"""What two questions differ in, beside the distance of their vectors."""
