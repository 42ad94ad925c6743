"""What scripts/regenerate.sh compiles from the contract; never edited."""
