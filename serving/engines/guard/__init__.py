"""What stands around an adapter so that neither it nor what calls it is overrun."""
