from django.db import models

from csf.clock import Now


class FormPress(models.Model):
    """A staff form that was sent. Forgotten after a day: by then nobody presses a button twice."""

    key = models.CharField(max_length=64, primary_key=True)
    pressed_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.key
