import csf.clock
import csf.encryption
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.text
import notifications.kinds
import uuid
from django.conf import settings
from django.db import migrations, models


def add_the_drain_signal(apps, schema_editor):
    apps.get_model("notifications", "DrainSignal").objects.create(pk=1)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('enrollments', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='DrainSignal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('is_pending', models.BooleanField(default=False)),
                ('closed_until', models.DateTimeField(blank=True, null=True)),
                ('down_since', models.DateTimeField(blank=True, null=True)),
                ('unanswered', models.PositiveIntegerField(default=0, help_text='Consecutive posts that the provider neither accepted nor refused for good.')),
            ],
        ),
        migrations.CreateModel(
            name='Alert',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40)),
                ('about', models.CharField(blank=True, help_text='Which one, if there are several.', max_length=100)),
                ('level', models.CharField(choices=[('warning', 'look into it today'), ('page', 'look into it now')], max_length=10)),
                ('text', models.TextField(help_text='What was found when it began.')),
                ('todo', models.TextField(blank=True, verbose_name='what to do')),
                ('began_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('began_reported_at', models.DateTimeField(blank=True, null=True)),
                ('ended_reported_at', models.DateTimeField(blank=True, null=True)),
                ('emailed_at', models.DateTimeField(blank=True, help_text='When STAFF_ALERT_EMAILS were sent it.', null=True)),
            ],
            options={
                'ordering': ['-pk'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('name', 'about', 'level'), name='notifications_alert_one_open')],
            },
        ),
        migrations.CreateModel(
            name='EmailEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=64, unique=True)),
                ('outbox_id', models.UUIDField(db_index=True, help_text="The email's public id; empty if not ours.", null=True)),
                ('name', models.CharField(max_length=40)),
                ('address', models.EmailField(blank=True, db_default='', help_text='Kept only if the event does not name one of our emails.', max_length=254)),
                ('bounce_type', models.CharField(blank=True, max_length=40)),
                ('bounce_class', models.CharField(blank=True, db_default='', help_text="SendGrid's classification of a bounce.", max_length=40)),
                ('detail', models.CharField(blank=True, max_length=1000)),
                ('provider_event_id', models.CharField(blank=True, max_length=100)),
                ('happened_at', models.DateTimeField()),
                ('received_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('folded_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-pk'],
                'indexes': [models.Index(condition=models.Q(('folded_at', None)), fields=['id'], name='notifications_event_unfolded'), django.contrib.postgres.indexes.BrinIndex(fields=['received_at'], name='notifications_event_received')],
            },
        ),
        migrations.CreateModel(
            name='EmailMessage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('kind', models.CharField(choices=notifications.kinds.choices, max_length=40)),
                ('to', models.EmailField(max_length=254)),
                ('fact_id', models.BigIntegerField(help_text='Primary key of the row the email is about.')),
                ('dedupe_key', models.CharField(max_length=200, unique=True)),
                ('context', models.JSONField()),
                ('secret', csf.encryption.EncryptedTextField(blank=True, help_text='The context of a sensitive kind, as JSON; cleared once the email is finished.')),
                ('status', models.CharField(choices=[('queued', 'queued'), ('sending', 'sending'), ('sent', 'accepted by the provider'), ('delivered', 'delivered'), ('bounced', 'bounced'), ('dropped', 'dropped by the provider'), ('complained', 'marked as spam'), ('unknown', 'may or may not have been sent'), ('failed', 'failed'), ('expired', 'no longer worth sending'), ('suppressed', 'unsubscribed, or the address is suppressed'), ('withheld', 'withheld')], default='queued', max_length=20)),
                ('priority', models.PositiveSmallIntegerField(default=5)),
                ('next_attempt_at', models.DateTimeField(db_default=csf.clock.Now())),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('leased_until', models.DateTimeField(blank=True, null=True)),
                ('posting_at', models.DateTimeField(blank=True, help_text="Set just before the post: a worker lost after that leaves the email 'unknown'.", null=True)),
                ('claims', models.PositiveSmallIntegerField(default=0, help_text='Consecutive claims without a post.')),
                ('tries', models.PositiveSmallIntegerField(default=0, help_text='Posts actually made.')),
                ('is_without_files', models.BooleanField(db_default=False, default=False, help_text='The provider refused its attachments, so it is sent without them.')),
                ('is_test', models.BooleanField(default=False, help_text='Sent by staff to themselves; not about a real event.')),
                ('subject', models.CharField(blank=True, max_length=200)),
                ('html', models.TextField(blank=True)),
                ('text', models.TextField(blank=True)),
                ('error', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
                ('delivered_at', models.DateTimeField(blank=True, help_text="When the recipient's server accepted it, according to the provider.", null=True)),
                ('recipient', models.ForeignKey(blank=True, help_text='Empty when the address has no account.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='emails', to=settings.AUTH_USER_MODEL)),
                ('resend_of', models.ForeignKey(blank=True, help_text='The email that staff sent again as this one.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='resends', to='notifications.emailmessage')),
                ('sent_as', models.ForeignKey(blank=True, help_text='The email that also says this, so that this one is not sent.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='parts', to='notifications.emailmessage')),
            ],
            options={
                'verbose_name': 'email',
                'verbose_name_plural': 'emails',
                'ordering': ['-pk'],
                'permissions': [('read_emailmessage', 'Can read what emails say'), ('download_emailmessage', 'Can download an email as it was sent'), ('resend_emailmessage', 'Can send an email again'), ('withhold_emailmessage', 'Can withhold an email that is queued'), ('requeue_emailmessage', 'Can release an email that is withheld'), ('mark_sent_emailmessage', 'Can mark a withheld email as sent'), ('test_emailmessage', 'Can send test emails to themselves')],
            },
        ),
        migrations.CreateModel(
            name='EmailAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('posted_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('route', models.CharField(choices=[('main', 'SendGrid'), ('failover', 'the second provider')], default='main', max_length=10)),
                ('outcome', models.CharField(choices=[('open', 'no answer yet'), ('sent', 'accepted'), ('not_sent', 'not sent'), ('refused', 'refused for good'), ('unknown', 'unknown')], default='open', max_length=20)),
                ('http_status', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('provider_message_id', models.CharField(blank=True, max_length=100)),
                ('duration_ms', models.PositiveIntegerField(blank=True, null=True)),
                ('error', models.TextField(blank=True)),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='notifications.emailmessage')),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='EmailAct',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('act', models.CharField(choices=[('resent', 'sent again'), ('withheld', 'withheld'), ('requeued', 'released to be sent'), ('marked_sent', 'marked as sent'), ('sent_test', 'sent as a test'), ('downloaded', 'downloaded'), ('read', 'read')], max_length=20)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='acts', to='notifications.emailmessage')),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='EmailPreference',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('choice', models.CharField(help_text="A kind of email, or 'copies' for copies of the family's emails.", max_length=40)),
                ('is_on', models.BooleanField()),
                ('origin', models.CharField(choices=[('page', 'the preferences page'), ('one_click', 'the unsubscribe button of an email app'), ('provider', 'the email provider'), ('invitation', 'an invitation that was accepted'), ('guardian', 'the first guardian of the family'), ('staff', 'staff')], max_length=20)),
                ('changed_at', models.DateTimeField(db_default=csf.clock.Now())),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='email_preferences', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['user', 'choice'],
            },
        ),
        migrations.CreateModel(
            name='FamilyMessage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, help_text='From the form: pressed twice, it is still one message.', unique=True)),
                ('kind', models.CharField(choices=[('class_message', 'Message from the office'), ('newsletter', 'Newsletter')], max_length=40)),
                ('subject', models.CharField(max_length=150)),
                ('body', models.TextField(help_text='Plain text.')),
                ('audience', models.JSONField()),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('confirmed_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'message to families',
                'verbose_name_plural': 'messages to families',
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='FamilyMessageLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('skipped', models.CharField(blank=True, help_text='Who does not get it by email, and why.', max_length=500)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('household', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='enrollments.household')),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='notifications.familymessage')),
            ],
            options={
                'verbose_name': 'family of a message',
                'verbose_name_plural': 'families of messages',
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='Suppression',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address', models.EmailField(help_text='In lower case.', max_length=254)),
                ('scope', models.CharField(choices=[('all', 'no email at all'), ('non_essential', 'only essential emails')], max_length=20)),
                ('cause', models.CharField(choices=[('bounced', 'the address does not accept email'), ('complained', 'our email was marked as spam'), ('staff', 'stopped by staff')], max_length=20)),
                ('detail', models.CharField(blank=True, help_text="The provider's message, or the reason.", max_length=1000)),
                ('began_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('lifted_at', models.DateTimeField(blank=True, null=True)),
                ('lift_reason', models.CharField(blank=True, max_length=300)),
                ('added_by', models.ForeignKey(blank=True, help_text="Empty if the provider's events added it.", null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('lifted_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'suppressed address',
                'verbose_name_plural': 'suppressed addresses',
                'ordering': ['-pk'],
            },
        ),
        migrations.AddIndex(
            model_name='emailmessage',
            index=models.Index(condition=models.Q(('status', 'queued')), fields=['priority', 'next_attempt_at', 'id'], name='notifications_email_due'),
        ),
        migrations.AddIndex(
            model_name='emailmessage',
            index=models.Index(condition=models.Q(('status', 'sending')), fields=['leased_until'], name='notifications_email_sending'),
        ),
        migrations.AddIndex(
            model_name='emailmessage',
            index=models.Index(condition=models.Q(('status', 'unknown')), fields=['posting_at'], name='notifications_email_unknown'),
        ),
        migrations.AddIndex(
            model_name='emailmessage',
            index=models.Index(condition=models.Q(('secret', ''), _negated=True), fields=['expires_at'], name='notifications_email_secret'),
        ),
        migrations.AddIndex(
            model_name='emailmessage',
            index=django.contrib.postgres.indexes.BrinIndex(fields=['created_at'], name='notifications_email_written'),
        ),
        migrations.AddIndex(
            model_name='emailmessage',
            index=models.Index(django.db.models.functions.text.Lower('to'), name='notifications_email_address'),
        ),
        migrations.AddConstraint(
            model_name='emailmessage',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['queued', 'sending', 'sent', 'delivered', 'bounced', 'dropped', 'complained', 'unknown', 'failed', 'expired', 'suppressed', 'withheld'])), name='notifications_emailmessage_status'),
        ),
        migrations.AddIndex(
            model_name='emailattempt',
            index=django.contrib.postgres.indexes.BrinIndex(fields=['posted_at'], name='notifications_attempt_posted'),
        ),
        migrations.AddConstraint(
            model_name='emailpreference',
            constraint=models.UniqueConstraint(fields=('user', 'choice'), name='notifications_emailpreference_one'),
        ),
        migrations.AddConstraint(
            model_name='familymessage',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['class_message', 'newsletter'])), name='notifications_familymessage_kind'),
        ),
        migrations.AddConstraint(
            model_name='familymessageline',
            constraint=models.UniqueConstraint(fields=('message', 'household'), name='notifications_familymessageline_once'),
        ),
        migrations.AddConstraint(
            model_name='suppression',
            constraint=models.UniqueConstraint(condition=models.Q(('lifted_at', None)), fields=('address', 'scope'), name='notifications_suppression_one_in_force'),
        ),
        migrations.RunPython(add_the_drain_signal, migrations.RunPython.noop),
    ]
