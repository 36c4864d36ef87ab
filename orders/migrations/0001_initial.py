import csf.clock
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.text
import orders.models
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('enrollments', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Order',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('number', models.CharField(default=orders.models.new_order_number, editable=False, max_length=8, unique=True)),
                ('status', models.CharField(choices=[('draft', 'in the cart'), ('placed', 'waiting for payment'), ('confirmed', 'confirmed'), ('expired', 'expired'), ('cancelled', 'cancelled'), ('completed', 'completed')], default='draft', editable=False, max_length=20)),
                ('origin', models.CharField(choices=[('cart', "the family's cart"), ('waitlist', 'a place from the waitlist')], default='cart', editable=False, max_length=20)),
                ('currency', models.CharField(editable=False, max_length=3)),
                ('total_cents', models.PositiveIntegerField(default=0, editable=False)),
                ('placed_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('charges_paused_at', models.DateTimeField(blank=True, editable=False, help_text='Since then nothing is charged automatically.', null=True)),
                ('held_until', models.DateTimeField(blank=True, editable=False, help_text='End of the hold.', null=True)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('household', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='orders', to='enrollments.household')),
                ('placed_by', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='OrderItem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('list_cents', models.PositiveIntegerField(editable=False, null=True)),
                ('begun_cents', models.PositiveIntegerField(db_default=0, default=0, editable=False, help_text='Taken off for the sessions that had begun when it was placed.')),
                ('sibling_cents', models.PositiveIntegerField(default=0, editable=False)),
                ('promo_cents', models.PositiveIntegerField(default=0, editable=False)),
                ('net_cents', models.PositiveIntegerField(editable=False, null=True)),
                ('explanation', models.JSONField(default=list, editable=False, help_text='Each reduction, in words and cents.')),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('child', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='enrollments.child')),
                ('course', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='order_items', to='enrollments.course')),
                ('enrollment', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='order_item', to='enrollments.enrollment')),
                ('moved_from', models.OneToOneField(blank=True, editable=False, help_text='The line whose child moved to this class.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='moved_to', to='orders.orderitem')),
                ('order', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='items', to='orders.order')),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='OrderTransition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_status', models.CharField(max_length=20)),
                ('to_status', models.CharField(max_length=20)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('order', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='transitions', to='orders.order')),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='PromoCode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(max_length=30, unique=True)),
                ('percent_bps', models.PositiveIntegerField(default=0, help_text='Taken off each line.', verbose_name='percent off')),
                ('amount_cents', models.PositiveIntegerField(default=0, help_text='Taken off an order once.', verbose_name='amount off')),
                ('starts_on', models.DateField(blank=True, null=True)),
                ('ends_on', models.DateField(blank=True, help_text='The last day.', null=True)),
                ('max_orders', models.PositiveIntegerField(blank=True, help_text='Leave empty for no limit.', null=True)),
                ('is_active', models.BooleanField(default=True)),
                ('archived_at', models.DateTimeField(blank=True, editable=False, help_text='Archived: hidden from lists and choices since then.', null=True)),
                ('program', models.ForeignKey(blank=True, help_text='Leave empty for all programs.', null=True, on_delete=django.db.models.deletion.PROTECT, to='enrollments.program')),
            ],
            options={
                'ordering': ['code'],
            },
        ),
        migrations.AddField(
            model_name='order',
            name='promo_code',
            field=models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='orders', to='orders.promocode'),
        ),
        migrations.CreateModel(
            name='PromoRedemption',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('limit', models.PositiveIntegerField(editable=False, help_text="The code's `max_orders` when it was used.", null=True)),
                ('order', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='promo_redemption', to='orders.order')),
                ('promo_code', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='redemptions', to='orders.promocode')),
            ],
        ),
        migrations.CreateModel(
            name='PromoUse',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('course', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='enrollments.course')),
                ('household', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='promo_uses', to='enrollments.household')),
                ('item', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='promo_use', to='orders.orderitem')),
                ('promo_code', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='uses', to='orders.promocode')),
                ('redemption', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='uses', to='orders.promoredemption')),
            ],
        ),
        migrations.AddConstraint(
            model_name='orderitem',
            constraint=models.UniqueConstraint(condition=models.Q(('moved_from', None)), fields=('order', 'child', 'course'), name='orders_orderitem_once'),
        ),
        migrations.AddConstraint(
            model_name='orderitem',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('list_cents', None), ('net_cents', None)), ('net_cents', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('list_cents'), '-', models.F('begun_cents')), '-', models.F('sibling_cents')), '-', models.F('promo_cents'))), _connector='OR'), name='orders_orderitem_net'),
        ),
        migrations.AddConstraint(
            model_name='promocode',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('amount_cents', 0), ('percent_bps__gt', 0), ('percent_bps__lte', 10000)), models.Q(('amount_cents__gt', 0), ('percent_bps', 0)), _connector='OR'), name='orders_promocode_percent_or_amount'),
        ),
        migrations.AddConstraint(
            model_name='promocode',
            constraint=models.CheckConstraint(condition=models.Q(('code', django.db.models.functions.text.Upper('code'))), name='orders_promocode_upper_case'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(condition=models.Q(('status', 'placed')), fields=['held_until'], name='orders_order_held'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['draft', 'placed', 'confirmed', 'expired', 'cancelled', 'completed'])), name='orders_order_status'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.UniqueConstraint(condition=models.Q(('origin', 'cart'), ('status', 'draft')), fields=('household',), name='orders_order_one_cart'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(('status', 'draft'), models.Q(('placed_at__isnull', False), ('placed_by__isnull', False)), _connector='OR'), name='orders_order_placed_by_somebody'),
        ),
        migrations.AddConstraint(
            model_name='promoredemption',
            constraint=models.CheckConstraint(condition=models.Q(('limit', None), ('number__lte', models.F('limit')), _connector='OR'), name='orders_promoredemption_within_limit'),
        ),
        migrations.AddConstraint(
            model_name='promoredemption',
            constraint=models.UniqueConstraint(fields=('promo_code', 'number'), name='orders_promoredemption_number'),
        ),
        migrations.AddConstraint(
            model_name='promouse',
            constraint=models.UniqueConstraint(fields=('promo_code', 'household', 'course'), name='orders_promouse_once_a_class_and_household'),
        ),
    ]
