from django.db import migrations


class Migration(migrations.Migration):
    """Nothing to do: 0001 already gives this version's tables. The name is dj-stripe's own."""

    dependencies = [("djstripe", "0002_2_10")]
    operations = []
