"""What planning saves on recorded and made-up traffic."""
