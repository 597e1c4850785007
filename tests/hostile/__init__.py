"""Files made to do harm, each by the test that reads it."""
