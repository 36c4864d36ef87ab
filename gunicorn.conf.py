"""gunicorn reads this by itself; its other options are the same in the Dockerfile and in deploy/."""

logger_class = "csf.logs.gunicorn.Logger"
