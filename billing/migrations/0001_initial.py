import csf.clock
import django.core.validators
import uuid
from django.db import migrations, models
import django.db.models.deletion
from django.conf import settings


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('enrollments', '0001_initial'),
        ('orders', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='BookDifference',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('subject', models.CharField(choices=[('payment', 'payment'), ('refund', 'refund'), ('dispute', 'dispute'), ('invoice', 'invoice')], max_length=20)),
                ('stripe_id', models.CharField(max_length=255, unique=True)),
                ('ours', models.CharField(blank=True, help_text='Empty if there is nothing.', max_length=200, verbose_name='our books')),
                ('theirs', models.CharField(blank=True, help_text='Empty if there is nothing.', max_length=200, verbose_name="Stripe's books")),
                ('found_at', models.DateTimeField(db_default=csf.clock.Now())),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('explanation', models.CharField(blank=True, max_length=300)),
            ],
            options={
                'verbose_name': 'difference with Stripe',
                'verbose_name_plural': 'differences with Stripe',
                'ordering': ['-found_at', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='Cancellation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('terms', models.CharField(choices=[('refund', 'the full price, refunded the way it was paid'), ('prorated', 'the remaining sessions, as credit'), ('prorated_refund', 'the remaining sessions, refunded the way they were paid'), ('credit', 'the full price, as credit'), ('nothing', 'nothing')], max_length=20)),
                ('value_cents', models.PositiveIntegerField(help_text='The amount the family no longer owes.')),
                ('stopped_cents', models.PositiveIntegerField(help_text='The part of it that will not be charged.', null=True)),
                ('refund_cents', models.PositiveIntegerField(help_text='The part of it that is refunded, once approved.', null=True)),
                ('credit_cents', models.PositiveIntegerField(help_text='The part of it that became credit.', null=True)),
                ('stops', models.JSONField(default=list, help_text='Each installment that is charged less: date, cents before and after.')),
                ('reason', models.CharField(max_length=300)),
                ('status', models.CharField(choices=[('waiting', 'waiting for a payment in progress'), ('settled', 'settled')], default='waiting', editable=False, max_length=20)),
                ('requested_at', models.DateTimeField()),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='CancellationTransition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_status', models.CharField(max_length=20)),
                ('to_status', models.CharField(max_length=20)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='Card',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('stripe_payment_method_id', models.CharField(max_length=255, unique=True)),
                ('fingerprint', models.CharField(blank=True, db_index=True, max_length=100)),
                ('brand', models.CharField(blank=True, max_length=30)),
                ('last4', models.CharField(blank=True, max_length=4)),
                ('exp_month', models.PositiveSmallIntegerField(null=True)),
                ('exp_year', models.PositiveSmallIntegerField(null=True)),
                ('saved_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('replaced_at', models.DateTimeField(blank=True, help_text='When another card replaced it for everything it paid for.', null=True)),
                ('refused_at', models.DateTimeField(blank=True, help_text='After a hard decline: never charged again by us.', null=True)),
                ('outdated_at', models.DateTimeField(blank=True, help_text='When the bank asked for another number or expiry date. A renewed card clears it.', null=True)),
                ('gone_at', models.DateTimeField(blank=True, help_text='When we saw that Stripe no longer has it for this family.', null=True)),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='CardAgreement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('agreed_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='CardStop',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reason', models.CharField(choices=[('gone', 'removed at Stripe'), ('withdrawn', 'stopped by the family')], max_length=20)),
                ('payments', models.JSONField(help_text='What it was to be charged for: due_on, amount_cents and order_number of each.')),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='CardUpdate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('charge_now', models.BooleanField(default=False)),
                ('stripe_session_id', models.CharField(editable=False, max_length=255, null=True, unique=True)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('finished_at', models.DateTimeField(editable=False, help_text='When the card was saved.', null=True)),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='ChargeAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('number', models.PositiveSmallIntegerField()),
                ('kind', models.CharField(choices=[('checkout', "Stripe's payment page"), ('auto', 'saved card, on the due day'), ('parent', 'saved card, asked for by the parent'), ('staff', 'saved card, asked for by staff'), ('hosted', "Stripe's invoice page"), ('page', "Stripe's payment page, for one installment")], max_length=20)),
                ('status', models.CharField(choices=[('created', 'created'), ('sending', 'being sent to Stripe'), ('waiting', 'waiting for the parent'), ('unknown', 'outcome not known'), ('succeeded', 'paid'), ('declined', 'declined'), ('needs_auth', "needs the parent's confirmation"), ('rejected', 'refused by Stripe'), ('not_executed', 'not executed'), ('parked', 'unknown after three days')], default='created', editable=False, max_length=20)),
                ('amount_cents', models.PositiveIntegerField()),
                ('currency', models.CharField(max_length=3)),
                ('stripe_session_id', models.CharField(editable=False, max_length=255, null=True, unique=True)),
                ('session_url', models.URLField(blank=True, editable=False, max_length=2000)),
                ('session_expires_at', models.DateTimeField(editable=False, null=True)),
                ('session_closed_at', models.DateTimeField(editable=False, null=True)),
                ('return_path', models.CharField(blank=True, editable=False, help_text='Where the page of an installment leads back to.', max_length=500)),
                ('status_before', models.CharField(blank=True, choices=[('scheduled', 'scheduled'), ('charging', 'being paid'), ('paid', 'paid'), ('retry_wait', 'waiting for the next try'), ('needs_card', 'needs another card'), ('needs_auth', "needs your bank's confirmation"), ('exhausted', 'could not be charged'), ('cancelled', 'cancelled'), ('waived', 'waived')], editable=False, help_text='Of the installment: what it returns to when its page closes without money.', max_length=20)),
                ('next_try_before', models.DateField(editable=False, null=True)),
                ('charged_on', models.DateField(editable=False, help_text='Business date of a charge on a saved card.', null=True)),
                ('tries', models.PositiveSmallIntegerField(default=0, editable=False)),
                ('next_look_at', models.DateTimeField(editable=False, help_text='When the resolver asks Stripe again.', null=True)),
                ('leased_until', models.DateTimeField(editable=False, null=True)),
                ('stripe_charge_id', models.CharField(editable=False, help_text='Of the charge that was declined.', max_length=255, null=True, unique=True)),
                ('decline_class', models.CharField(blank=True, choices=[('soft', 'may work another day'), ('card', 'needs another card, or corrected details'), ('hard', 'never charge this card again'), ('authentication', 'the bank needs the parent to confirm'), ('look', 'staff review it first'), ('unlisted', 'an unknown reason')], editable=False, max_length=20)),
                ('decline_code', models.CharField(blank=True, editable=False, max_length=100)),
                ('card_brand', models.CharField(blank=True, editable=False, max_length=30)),
                ('card_last4', models.CharField(blank=True, editable=False, max_length=4)),
                ('error', models.TextField(blank=True, editable=False)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['installment', 'number'],
            },
        ),
        migrations.CreateModel(
            name='ChargeAttemptTransition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_status', models.CharField(max_length=20)),
                ('to_status', models.CharField(max_length=20)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='Closure',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('terms', models.CharField(choices=[('refund', 'the full price, refunded the way it was paid'), ('prorated', 'the remaining sessions, as credit'), ('prorated_refund', 'the remaining sessions, refunded the way they were paid'), ('credit', 'the full price, as credit'), ('nothing', 'nothing')], max_length=20)),
                ('reason', models.CharField(max_length=300)),
                ('status', models.CharField(choices=[('running', 'in progress'), ('done', 'done')], default='running', max_length=20)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'verbose_name': 'cancelled class',
                'verbose_name_plural': 'cancelled classes',
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='ClosureLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('status', models.CharField(choices=[('waiting', 'to do'), ('done', 'done'), ('failed', 'needs attention')], default='waiting', editable=False, max_length=20)),
                ('result', models.CharField(blank=True, max_length=300)),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='ClosureLineTransition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_status', models.CharField(max_length=20)),
                ('to_status', models.CharField(max_length=20)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='ComparedDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField(unique=True)),
                ('compared_at', models.DateTimeField(db_default=csf.clock.Now())),
                ('payments', models.PositiveIntegerField(default=0)),
                ('refunds', models.PositiveIntegerField(default=0)),
                ('disputes', models.PositiveIntegerField(default=0)),
                ('open_invoices', models.PositiveIntegerField(default=0)),
                ('foreign', models.PositiveIntegerField(default=0, help_text='Payments of another use of the account.', verbose_name='not ours')),
            ],
            options={
                'ordering': ['-day'],
            },
        ),
        migrations.CreateModel(
            name='Consent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('text_version', models.CharField(blank=True, max_length=20)),
                ('text', models.TextField()),
                ('schedule', models.JSONField(default=list, help_text='Number, due date and cents of each part.')),
                ('address', models.GenericIPAddressField(blank=True, null=True)),
                ('given_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Credit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('amount_cents', models.IntegerField(help_text='Above zero: given to the family.')),
                ('cause', models.CharField(choices=[('cancellation', 'for a cancelled class'), ('session', 'for a cancelled session'), ('transfer', 'for a move to a class that costs less'), ('refund', 'in place of a refund'), ('granted', 'added by the office'), ('spent', 'used for an order'), ('returned', 'returned from an order that was not paid'), ('expired', 'expired'), ('taken_back', 'removed by the office')], max_length=20)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('expires_on', models.DateField(blank=True, help_text='The last day on which it can be spent.', null=True)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='Dispute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stripe_id', models.CharField(max_length=255, unique=True)),
                ('amount_cents', models.PositiveIntegerField()),
                ('currency', models.CharField(max_length=3)),
                ('reason', models.CharField(blank=True, help_text='As Stripe calls it.', max_length=60)),
                ('status', models.CharField(help_text='As Stripe calls it.', max_length=40)),
                ('evidence_due_at', models.DateTimeField(blank=True, null=True)),
                ('opened_at', models.DateTimeField()),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-opened_at', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='Installment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('number', models.PositiveSmallIntegerField()),
                ('due_on', models.DateField()),
                ('amount_cents', models.PositiveIntegerField()),
                ('status', models.CharField(choices=[('scheduled', 'scheduled'), ('charging', 'being paid'), ('paid', 'paid'), ('retry_wait', 'waiting for the next try'), ('needs_card', 'needs another card'), ('needs_auth', "needs your bank's confirmation"), ('exhausted', 'could not be charged'), ('cancelled', 'cancelled'), ('waived', 'waived')], default='scheduled', editable=False, max_length=20)),
                ('next_try_on', models.DateField(blank=True, editable=False, null=True)),
                ('held_at', models.DateTimeField(blank=True, editable=False, help_text='On hold since then: not charged.', null=True)),
                ('stripe_invoice_id', models.CharField(editable=False, max_length=255, null=True, unique=True)),
                ('invoice_closed_at', models.DateTimeField(editable=False, help_text='When that invoice was seen to be unpayable for good.', null=True)),
                ('invoice_number', models.PositiveSmallIntegerField(default=1, editable=False, help_text='Of its open invoice, or of the next one.')),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['order', 'number'],
                'permissions': [('retry_installment', 'Can charge an installment now'), ('hold_installment', 'Can hold an installment and release it'), ('move_installment', 'Can move and split an installment'), ('waive_installment', 'Can waive and cancel an installment'), ('record_offline_installment', 'Can record cash or a check for an installment')],
            },
        ),
        migrations.CreateModel(
            name='InstallmentNote',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('text', models.CharField(max_length=500)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='InstallmentTransition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_status', models.CharField(max_length=20)),
                ('to_status', models.CharField(max_length=20)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='KnownIntent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stripe_payment_intent_id', models.CharField(max_length=255, unique=True)),
            ],
        ),
        migrations.CreateModel(
            name='Payment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('amount_cents', models.PositiveIntegerField()),
                ('currency', models.CharField(max_length=3)),
                ('method', models.CharField(choices=[('stripe', 'card'), ('cash', 'cash'), ('check', 'check'), ('other', 'outside Stripe')], default='stripe', max_length=20)),
                ('stripe_payment_intent_id', models.CharField(max_length=255, null=True, unique=True)),
                ('stripe_invoice_id', models.CharField(max_length=255, null=True, unique=True)),
                ('stripe_charge_id', models.CharField(blank=True, max_length=255)),
                ('card_brand', models.CharField(blank=True, max_length=30)),
                ('card_last4', models.CharField(blank=True, max_length=4)),
                ('received_at', models.DateTimeField(help_text='When Stripe says the charge was made.')),
                ('check_number', models.CharField(blank=True, max_length=30)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='PaymentPlan',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=80, unique=True)),
                ('parts', models.PositiveSmallIntegerField(help_text='Including the first one, 2 to 12.', validators=[django.core.validators.MinValueValidator(2), django.core.validators.MaxValueValidator(12)], verbose_name='number of installments')),
                ('interval', models.CharField(choices=[('weekly', 'every week'), ('biweekly', 'every two weeks'), ('monthly', 'every month')], default='monthly', max_length=20)),
                ('deposit_bps', models.PositiveIntegerField(default=0, help_text='Basis points of the total: 2000 is 20%. Zero for equal installments.', verbose_name='deposit')),
                ('is_active', models.BooleanField(default=True)),
                ('archived_at', models.DateTimeField(blank=True, editable=False, help_text='Archived: hidden from lists and choices since then.', null=True)),
            ],
            options={
                'ordering': ['parts', 'name'],
            },
        ),
        migrations.CreateModel(
            name='Refund',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('amount_cents', models.PositiveIntegerField()),
                ('currency', models.CharField(max_length=3)),
                ('method', models.CharField(choices=[('stripe', 'card'), ('cash', 'cash'), ('check', 'check'), ('other', 'outside Stripe'), ('credit', "credit on the family's account")], max_length=20)),
                ('cause', models.CharField(choices=[('cancellation', 'a class was cancelled'), ('taken_over', 'a family from the waitlist took the place'), ('unmatched', 'the payment matches no open installment'), ('staff', 'staff decided'), ('dashboard', "made in Stripe's dashboard"), ('dispute', 'a dispute was lost')], max_length=20)),
                ('reason', models.CharField(max_length=300)),
                ('status', models.CharField(choices=[('requested', 'to be approved'), ('approved', 'approved'), ('rejected', 'rejected'), ('sending', 'on its way'), ('unknown', 'outcome not known'), ('succeeded', 'refunded'), ('failed', 'failed'), ('external', 'made at Stripe')], default='requested', editable=False, max_length=20)),
                ('is_by_rule', models.BooleanField(default=False, editable=False, help_text='Within the policy and the limit set by the owner.', verbose_name='approved by rule')),
                ('needs_second_person', models.BooleanField(default=False, editable=False)),
                ('stripe_refund_id', models.CharField(editable=False, max_length=255, null=True, unique=True)),
                ('stripe_payment_intent_id', models.CharField(blank=True, editable=False, max_length=255)),
                ('tries', models.PositiveSmallIntegerField(default=0, editable=False)),
                ('next_look_at', models.DateTimeField(editable=False, null=True)),
                ('leased_until', models.DateTimeField(editable=False, null=True)),
                ('error', models.TextField(blank=True, editable=False)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['-pk'],
                'permissions': [('approve_refund', 'Can approve or reject a refund')],
            },
        ),
        migrations.CreateModel(
            name='RefundTransition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_status', models.CharField(max_length=20)),
                ('to_status', models.CharField(max_length=20)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='StripeCustomer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stripe_id', models.CharField(editable=False, max_length=255, null=True, unique=True)),
                ('livemode', models.BooleanField(default=False, editable=False)),
                ('number', models.PositiveSmallIntegerField(default=1, editable=False, help_text="Counts the household's customers; earlier ones are gone.")),
            ],
        ),
        migrations.CreateModel(
            name='StripeEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stripe_id', models.CharField(max_length=255, unique=True)),
                ('type', models.CharField(max_length=80)),
                ('livemode', models.BooleanField()),
                ('body', models.TextField()),
                ('status', models.CharField(choices=[('received', 'received'), ('processed', 'processed'), ('ignored', 'ignored'), ('parked', 'parked')], default='received', max_length=20)),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('next_try_at', models.DateTimeField(db_default=csf.clock.Now())),
                ('leased_until', models.DateTimeField(blank=True, null=True)),
                ('note', models.TextField(blank=True, help_text='Why it was ignored, or the last error.')),
                ('received_at', models.DateTimeField(db_default=csf.clock.Now())),
                ('was_pulled', models.BooleanField(default=False, help_text='Found by asking Stripe, long after a webhook should have reported it.')),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'verbose_name': 'Stripe event',
                'verbose_name_plural': 'Stripe events',
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='Transfer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('difference_cents', models.IntegerField(help_text='Above zero: the new class costs more.')),
                ('stopped_cents', models.PositiveIntegerField(default=0)),
                ('credit_cents', models.PositiveIntegerField(default=0)),
                ('consent', models.TextField(blank=True, help_text='What was agreed about charging the difference.')),
                ('reason', models.CharField(max_length=300)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='WaitlistConsent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at_most_cents', models.PositiveIntegerField()),
                ('text', models.TextField()),
                ('text_version', models.CharField(max_length=20)),
                ('address', models.GenericIPAddressField(blank=True, null=True)),
                ('given_at', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='bookdifference',
            name='closed_by',
            field=models.ForeignKey(blank=True, help_text='Empty although closed: both books agree again.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='bookdifference',
            name='household',
            field=models.ForeignKey(blank=True, help_text='As far as known.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='book_differences', to='enrollments.household', verbose_name='family'),
        ),
        migrations.AddField(
            model_name='cancellation',
            name='by',
            field=models.ForeignKey(blank=True, help_text='Empty if the system did it.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='cancellation',
            name='enrollment',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='cancellation', to='enrollments.enrollment'),
        ),
        migrations.AddField(
            model_name='cancellation',
            name='order',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='cancellations', to='orders.order'),
        ),
        migrations.AddField(
            model_name='cancellationtransition',
            name='by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='cancellationtransition',
            name='cancellation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='transitions', to='billing.cancellation'),
        ),
        migrations.AddField(
            model_name='card',
            name='household',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='cards', to='enrollments.household'),
        ),
        migrations.AddField(
            model_name='cardagreement',
            name='agreed_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='cardagreement',
            name='card',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='agreements', to='billing.card'),
        ),
        migrations.AddField(
            model_name='cardagreement',
            name='order',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='card_agreements', to='orders.order'),
        ),
        migrations.AddField(
            model_name='cardstop',
            name='by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='cardstop',
            name='card',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='stops', to='billing.card'),
        ),
        migrations.AddField(
            model_name='cardupdate',
            name='household',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='card_updates', to='enrollments.household'),
        ),
        migrations.AddField(
            model_name='cardupdate',
            name='orders',
            field=models.ManyToManyField(help_text='What the new card should pay for.', related_name='+', to='orders.order'),
        ),
        migrations.AddField(
            model_name='cardupdate',
            name='requested_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='chargeattempt',
            name='card',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='attempts', to='billing.card'),
        ),
        migrations.AddField(
            model_name='chargeattempttransition',
            name='by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='chargeattempttransition',
            name='chargeattempt',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='transitions', to='billing.chargeattempt'),
        ),
        migrations.AddField(
            model_name='closure',
            name='by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='closure',
            name='course',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='closures', to='enrollments.course'),
        ),
        migrations.AddField(
            model_name='closure',
            name='session',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='closure', to='enrollments.coursesession'),
        ),
        migrations.AddField(
            model_name='cancellation',
            name='closure',
            field=models.ForeignKey(blank=True, help_text='If the school cancelled the class.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='cancellations', to='billing.closure'),
        ),
        migrations.AddField(
            model_name='closureline',
            name='closure',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='billing.closure'),
        ),
        migrations.AddField(
            model_name='closureline',
            name='enrollment',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='closure_lines', to='enrollments.enrollment'),
        ),
        migrations.AddField(
            model_name='closurelinetransition',
            name='by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='closurelinetransition',
            name='closureline',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='transitions', to='billing.closureline'),
        ),
        migrations.AddField(
            model_name='consent',
            name='given_by',
            field=models.ForeignKey(help_text='Or the member of staff who recorded it.', on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='consent',
            name='order',
            field=models.OneToOneField(blank=True, help_text='If it was given for the order as a whole; empty for what one move costs more.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='consent', to='orders.order'),
        ),
        migrations.AddField(
            model_name='consent',
            name='other_orders',
            field=models.ManyToManyField(blank=True, help_text='What else the card of this order should pay for.', related_name='+', to='orders.order'),
        ),
        migrations.AddField(
            model_name='credit',
            name='by',
            field=models.ForeignKey(blank=True, help_text='Empty if the system did it.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='credit',
            name='cancellation',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='credits', to='billing.cancellation'),
        ),
        migrations.AddField(
            model_name='credit',
            name='closure_line',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='credit', to='billing.closureline'),
        ),
        migrations.AddField(
            model_name='credit',
            name='grant',
            field=models.ForeignKey(blank=True, help_text='The credit that ran out; once more if an order gave some of it back later.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='expiries', to='billing.credit'),
        ),
        migrations.AddField(
            model_name='credit',
            name='household',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='credits', to='enrollments.household'),
        ),
        migrations.AddField(
            model_name='credit',
            name='order',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='credits', to='orders.order'),
        ),
        migrations.AddField(
            model_name='installment',
            name='consent',
            field=models.ForeignKey(blank=True, editable=False, help_text='The consent under which a saved card may be charged for it. Without one, the family pays it itself.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='installments', to='billing.consent'),
        ),
        migrations.AddField(
            model_name='installment',
            name='order',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='installments', to='orders.order'),
        ),
        migrations.AddField(
            model_name='chargeattempt',
            name='installment',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='attempts', to='billing.installment'),
        ),
        migrations.AddField(
            model_name='installmentnote',
            name='by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='installmentnote',
            name='installment',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='notes', to='billing.installment'),
        ),
        migrations.AddField(
            model_name='installmenttransition',
            name='by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='installmenttransition',
            name='installment',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='transitions', to='billing.installment'),
        ),
        migrations.AddField(
            model_name='payment',
            name='installment',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='payment', to='billing.installment'),
        ),
        migrations.AddField(
            model_name='payment',
            name='order',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payments', to='orders.order'),
        ),
        migrations.AddField(
            model_name='knownintent',
            name='payment',
            field=models.OneToOneField(blank=True, help_text='Empty for another use of the account.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='known_intent', to='billing.payment'),
        ),
        migrations.AddField(
            model_name='dispute',
            name='payment',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='disputes', to='billing.payment'),
        ),
        migrations.AddField(
            model_name='paymentplan',
            name='courses',
            field=models.ManyToManyField(blank=True, help_text='Leave empty for all classes.', related_name='payment_plans', to='enrollments.course'),
        ),
        migrations.AddField(
            model_name='consent',
            name='plan',
            field=models.ForeignKey(blank=True, help_text='Empty for a single charge: a move to another class, or a place from the waitlist.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.paymentplan'),
        ),
        migrations.AddField(
            model_name='refund',
            name='approved_by',
            field=models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='refund',
            name='cancellation',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='billing.cancellation'),
        ),
        migrations.AddField(
            model_name='refund',
            name='order',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='orders.order'),
        ),
        migrations.AddField(
            model_name='refund',
            name='payment',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='billing.payment'),
        ),
        migrations.AddField(
            model_name='refund',
            name='requested_by',
            field=models.ForeignKey(blank=True, help_text='Empty if the system did it.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='refundtransition',
            name='by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='refundtransition',
            name='refund',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='transitions', to='billing.refund'),
        ),
        migrations.AddField(
            model_name='stripecustomer',
            name='household',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='stripe_customer', to='enrollments.household'),
        ),
        migrations.AddIndex(
            model_name='stripeevent',
            index=models.Index(condition=models.Q(('status', 'received')), fields=['next_try_at'], name='billing_stripeevent_due'),
        ),
        migrations.AddIndex(
            model_name='stripeevent',
            index=models.Index(condition=models.Q(('was_pulled', True)), fields=['received_at'], name='billing_stripeevent_pulled'),
        ),
        migrations.AddConstraint(
            model_name='stripeevent',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['received', 'processed', 'ignored', 'parked'])), name='billing_stripeevent_status'),
        ),
        migrations.AddField(
            model_name='transfer',
            name='by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='transfer',
            name='installment',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='transfer', to='billing.installment'),
        ),
        migrations.AddField(
            model_name='transfer',
            name='joined',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='transfer_here', to='enrollments.enrollment'),
        ),
        migrations.AddField(
            model_name='transfer',
            name='left',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='transfer_away', to='enrollments.enrollment'),
        ),
        migrations.AddField(
            model_name='transfer',
            name='order',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='transfers', to='orders.order'),
        ),
        migrations.AddField(
            model_name='waitlistconsent',
            name='enrollment',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='waitlist_consent', to='enrollments.enrollment'),
        ),
        migrations.AddField(
            model_name='waitlistconsent',
            name='given_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='cardupdate',
            name='places',
            field=models.ManyToManyField(help_text='On the waitlist, paid once one is free.', related_name='+', to='billing.waitlistconsent'),
        ),
        migrations.AddField(
            model_name='cardagreement',
            name='waitlist_consent',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='card_agreements', to='billing.waitlistconsent'),
        ),
        migrations.AddConstraint(
            model_name='bookdifference',
            constraint=models.CheckConstraint(condition=models.Q(('closed_by', None), models.Q(('closed_at__isnull', False), models.Q(('explanation', ''), _negated=True)), _connector='OR'), name='billing_bookdifference_explained'),
        ),
        migrations.AddConstraint(
            model_name='closure',
            constraint=models.UniqueConstraint(condition=models.Q(('session', None)), fields=('course',), name='billing_closure_of_a_class_once'),
        ),
        migrations.AddConstraint(
            model_name='cancellation',
            constraint=models.CheckConstraint(condition=models.Q(('status', 'waiting'), models.Q(('credit_cents__isnull', False), ('refund_cents__isnull', False), ('stopped_cents__isnull', False)), _connector='OR'), name='billing_cancellation_settled_with_figures'),
        ),
        migrations.AddConstraint(
            model_name='closureline',
            constraint=models.UniqueConstraint(fields=('closure', 'enrollment'), name='billing_closureline_once'),
        ),
        migrations.AddConstraint(
            model_name='credit',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('amount_cents__lt', 0), ('cause__in', ['spent', 'expired', 'taken_back'])), models.Q(models.Q(('cause__in', ['spent', 'expired', 'taken_back']), _negated=True), ('amount_cents__gt', 0)), _connector='OR'), name='billing_credit_amount'),
        ),
        migrations.AddConstraint(
            model_name='credit',
            constraint=models.CheckConstraint(condition=models.Q(('cause__in', ['cancellation', 'session', 'transfer', 'refund', 'granted', 'spent', 'returned', 'expired', 'taken_back'])), name='billing_credit_cause'),
        ),
        migrations.AddConstraint(
            model_name='credit',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('cause__in', ['spent', 'returned']), _negated=True), ('order__isnull', False), _connector='OR'), name='billing_credit_of_an_order'),
        ),
        migrations.AddConstraint(
            model_name='credit',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('cause', 'expired'), _negated=True), ('grant__isnull', False), _connector='OR'), name='billing_credit_that_ran_out'),
        ),
        migrations.AddConstraint(
            model_name='credit',
            constraint=models.UniqueConstraint(condition=models.Q(('cause__in', ['spent', 'returned'])), fields=('order', 'cause'), name='billing_credit_once_an_order'),
        ),
        migrations.AddIndex(
            model_name='installment',
            index=models.Index(condition=models.Q(('status__in', ['scheduled', 'charging', 'retry_wait', 'needs_card', 'needs_auth', 'exhausted'])), fields=['due_on'], name='billing_installment_open'),
        ),
        migrations.AddConstraint(
            model_name='installment',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['scheduled', 'charging', 'paid', 'retry_wait', 'needs_card', 'needs_auth', 'exhausted', 'cancelled', 'waived'])), name='billing_installment_status'),
        ),
        migrations.AddConstraint(
            model_name='installment',
            constraint=models.CheckConstraint(condition=models.Q(('amount_cents__gt', 0)), name='billing_installment_amount'),
        ),
        migrations.AddConstraint(
            model_name='installment',
            constraint=models.UniqueConstraint(fields=('order', 'number'), name='billing_installment_number'),
        ),
        migrations.AddConstraint(
            model_name='installment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('next_try_on__isnull', False), ('status', 'retry_wait')), models.Q(models.Q(('status', 'retry_wait'), _negated=True), ('next_try_on', None)), _connector='OR'), name='billing_installment_next_try'),
        ),
        migrations.AddConstraint(
            model_name='chargeattempt',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['created', 'sending', 'waiting', 'unknown', 'succeeded', 'declined', 'needs_auth', 'rejected', 'not_executed', 'parked'])), name='billing_chargeattempt_status'),
        ),
        migrations.AddConstraint(
            model_name='chargeattempt',
            constraint=models.UniqueConstraint(fields=('installment', 'number'), name='billing_chargeattempt_number'),
        ),
        migrations.AddConstraint(
            model_name='chargeattempt',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ['created', 'sending', 'waiting', 'unknown', 'parked'])), fields=('installment',), name='billing_chargeattempt_one_open'),
        ),
        migrations.AddConstraint(
            model_name='chargeattempt',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'auto'), models.Q(('status__in', ['not_executed', 'rejected']), _negated=True)), fields=('installment', 'charged_on'), name='billing_chargeattempt_auto_once_a_day'),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.CheckConstraint(condition=models.Q(('amount_cents__gt', 0)), name='billing_payment_amount'),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('method', 'stripe'), ('stripe_payment_intent_id__isnull', False)), models.Q(('method', 'stripe'), ('stripe_invoice_id__isnull', False)), models.Q(('method', 'other'), ('stripe_invoice_id__isnull', False)), models.Q(('method__in', ['cash', 'check']), ('stripe_invoice_id', None), ('stripe_payment_intent_id', None)), _connector='OR'), name='billing_payment_at_stripe'),
        ),
        migrations.AddConstraint(
            model_name='paymentplan',
            constraint=models.CheckConstraint(condition=models.Q(('parts__gte', 2), ('parts__lte', 12)), name='billing_paymentplan_parts'),
        ),
        migrations.AddConstraint(
            model_name='paymentplan',
            constraint=models.CheckConstraint(condition=models.Q(('deposit_bps__lte', 9900)), name='billing_paymentplan_deposit'),
        ),
        migrations.AddConstraint(
            model_name='paymentplan',
            constraint=models.CheckConstraint(condition=models.Q(('interval__in', ['weekly', 'biweekly', 'monthly'])), name='billing_paymentplan_interval'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['requested', 'approved', 'rejected', 'sending', 'unknown', 'succeeded', 'failed', 'external'])), name='billing_refund_status'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(('amount_cents__gt', 0)), name='billing_refund_amount'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(('needs_second_person', False), ('approved_by', None), ('requested_by', None), models.Q(('approved_by', models.F('requested_by')), _negated=True), _connector='OR'), name='billing_refund_second_person'),
        ),
        migrations.AddConstraint(
            model_name='cardagreement',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('order__isnull', False), ('waitlist_consent', None)), models.Q(('order', None), ('waitlist_consent__isnull', False)), _connector='OR'), name='billing_cardagreement_for_one_thing'),
        ),
        migrations.AddConstraint(
            model_name='cardagreement',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('order',), name='billing_cardagreement_one_an_order'),
        ),
        migrations.AddConstraint(
            model_name='cardagreement',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('waitlist_consent',), name='billing_cardagreement_one_a_place'),
        ),
    ]
