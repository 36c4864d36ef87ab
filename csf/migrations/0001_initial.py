import csf.clock
import csf.models.staff_tasks
import django.db.models.deletion
from django.db import migrations, models
from django.conf import settings


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Breaker',
            fields=[
                ('name', models.CharField(max_length=60, primary_key=True, serialize=False)),
                ('failures', models.PositiveIntegerField(default=0)),
                ('open_until', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Cluster',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=80, unique=True)),
                ('queue', models.CharField(help_text='The queue whose tasks it takes.', max_length=40)),
                ('host', models.CharField(max_length=64)),
                ('pid', models.PositiveIntegerField()),
                ('started_at', models.DateTimeField(db_default=csf.clock.Now())),
                ('seen_at', models.DateTimeField(db_default=csf.clock.Now())),
                ('canary_at', models.DateTimeField(blank=True, null=True)),
                ('stopped_at', models.DateTimeField(blank=True, help_text='When it was stopped cleanly.', null=True)),
                ('clock_ahead_s', models.FloatField(db_default=0, help_text="Compared with the database's clock; negative if the host's clock is behind.", verbose_name='clock ahead, in seconds')),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='FormPress',
            fields=[
                ('key', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('pressed_at', models.DateTimeField(db_default=csf.clock.Now())),
            ],
        ),
        migrations.CreateModel(
            name='StaffTask',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=csf.models.staff_tasks.staff_task_kinds, max_length=40)),
                ('subject', models.CharField(help_text='The row this is about, as app.model:id; or several rows, as app.model?filter.', max_length=100)),
                ('detail', models.TextField(blank=True)),
                ('opened_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('emailed_at', models.DateTimeField(blank=True, editable=False, help_text='When STAFF_ALERT_EMAILS were sent it.', null=True)),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('closed_because', models.CharField(blank=True, help_text='Set if it closed by itself.', max_length=200)),
            ],
        ),
        migrations.CreateModel(
            name='Instance',
            fields=[
                ('id', models.TextField(primary_key=True, serialize=False)),
                ('quarantined_at', models.DateTimeField(blank=True, help_text='Empty while it may send and charge.', null=True)),
                ('lifted_at', models.DateTimeField(blank=True, null=True)),
                ('predecessor_until', models.DateTimeField(blank=True, help_text='Until then, the installation that this one replaces may have sent emails. Anything that happened earlier is not emailed automatically.', null=True)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'constraints': [models.UniqueConstraint(models.Value(1), name='csf_instance_one_row')],
            },
        ),
        migrations.CreateModel(
            name='JobRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('job', models.CharField(max_length=60)),
                ('on', models.DateField()),
                ('status', models.CharField(choices=[('running', 'running'), ('done', 'done'), ('failed', 'failed')], default='running', max_length=20)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('started_at', models.DateTimeField(db_default=csf.clock.Now())),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('report', models.JSONField(default=dict, help_text='Counts, and each row that was skipped with the reason.')),
                ('covered_by', models.ForeignKey(blank=True, help_text='The later run that did the work of this day.', null=True, on_delete=django.db.models.deletion.SET_NULL, to='csf.jobrun')),
            ],
            options={
                'ordering': ['-on', 'job'],
            },
        ),
        migrations.CreateModel(
            name='ProofRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('mode', models.CharField(choices=[('full', 'everything'), ('recent', 'recent changes')], max_length=10)),
                ('since', models.DateTimeField(blank=True, help_text='Large tables were checked from then on; empty if everything was checked.', null=True)),
                ('began_at', models.DateTimeField(db_default=csf.clock.Now())),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('leased_until', models.DateTimeField(blank=True, editable=False, null=True)),
                ('looked_at', models.PositiveSmallIntegerField(default=0, help_text='Number of invariants checked.')),
                ('broken', models.JSONField(default=list, help_text='Number, words, count and some ids of each invariant that does not hold.')),
            ],
            options={
                'verbose_name': 'proof',
                'ordering': ['-pk'],
                'constraints': [models.UniqueConstraint(models.Value(1), condition=models.Q(('finished_at', None)), name='csf_proofrun_one_under_way')],
            },
        ),
        migrations.AddField(
            model_name='stafftask',
            name='closed_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='jobrun',
            constraint=models.UniqueConstraint(fields=('job', 'on'), name='csf_jobrun_once_a_day'),
        ),
        migrations.AddConstraint(
            model_name='stafftask',
            constraint=models.UniqueConstraint(condition=models.Q(('closed_at', None)), fields=('kind', 'subject'), name='csf_stafftask_one_open'),
        ),
    ]
