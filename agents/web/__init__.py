"""The dashboard and its interface: what a worker's web server shows, and the commands it takes."""
