"""False alarms of the guard, and how long it takes to find a bad arm."""
