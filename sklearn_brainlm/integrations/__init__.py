"""Where other projects find this one. Each part is imported by the project it is for."""
