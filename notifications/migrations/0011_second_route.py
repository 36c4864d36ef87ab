from django.conf import settings
from django.db import migrations, models
import django.db.models.deletion


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('notifications', '0010_alerts_are_emailed'),
    ]

    operations = [
        migrations.AddField(
            model_name='drainsignal',
            name='down_since',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='suppression',
            name='added_by',
            field=models.ForeignKey(blank=True, help_text="Empty if the provider's events added it.", null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AlterField(
            model_name='suppression',
            name='detail',
            field=models.CharField(blank=True, help_text="The provider's message, or the reason.", max_length=1000),
        ),
        migrations.AlterField(
            model_name='suppression',
            name='cause',
            field=models.CharField(choices=[('bounced', 'the address does not accept email'), ('complained', 'our email was marked as spam'), ('staff', 'stopped by staff')], max_length=20),
        ),
    ]
