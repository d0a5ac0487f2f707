"""``leverframe mlflow``: model versions become arms, and an alias follows the champion."""
