"""What a release needs beside the code: its changelog and its files."""
