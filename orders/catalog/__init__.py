"""What parents see of classes before they order."""
