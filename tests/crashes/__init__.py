"""What is written, killed at random moments, on full disks, in locked folders, by two at once."""
