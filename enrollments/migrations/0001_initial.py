import csf.clock
import django.db.models.deletion
import django.db.models.functions.text
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='Child',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('first_name', models.CharField(max_length=60)),
                ('last_name', models.CharField(blank=True, max_length=60)),
                ('born_on', models.DateField(verbose_name='date of birth')),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'verbose_name_plural': 'children',
                'ordering': ['born_on', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='Course',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('title', models.CharField(max_length=120)),
                ('slug', models.SlugField(max_length=140, unique=True)),
                ('description', models.TextField(blank=True)),
                ('what_to_bring', models.TextField(blank=True, help_text='One item per line. Shown on the class page and in the email before the class starts.')),
                ('age_min', models.PositiveSmallIntegerField()),
                ('age_max', models.PositiveSmallIntegerField()),
                ('weekday', models.PositiveSmallIntegerField(choices=[(0, 'Monday'), (1, 'Tuesday'), (2, 'Wednesday'), (3, 'Thursday'), (4, 'Friday'), (5, 'Saturday'), (6, 'Sunday')])),
                ('start_time', models.TimeField()),
                ('end_time', models.TimeField()),
                ('starts_on', models.DateField()),
                ('ends_on', models.DateField()),
                ('price_cents', models.PositiveIntegerField()),
                ('prorates_late_joiners', models.BooleanField(db_default=True, default=True, help_text='Once the class has started, a child who joins pays only for the remaining sessions.', verbose_name='late joiners pay for the remaining sessions')),
                ('offers_after_start', models.BooleanField(db_default=False, default=False, help_text='Places are offered to the waitlist as long as registration is open. Otherwise offers end when the class starts, and a place that becomes free later goes to whoever books it first.', verbose_name='waitlist continues after the start')),
                ('capacity', models.PositiveSmallIntegerField()),
                ('registration_opens_at', models.DateTimeField(db_default=csf.clock.Now())),
                ('registration_closes_at', models.DateTimeField()),
                ('is_published', models.BooleanField(default=False, editable=False, verbose_name='published')),
                ('cancelled_at', models.DateTimeField(blank=True, editable=False, help_text='Cancelled since then.', null=True)),
                ('archived_at', models.DateTimeField(blank=True, editable=False, help_text='Archived: hidden from lists and choices since then.', null=True)),
            ],
            options={
                'verbose_name': 'class',
                'verbose_name_plural': 'classes',
            },
        ),
        migrations.CreateModel(
            name='Household',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('name', models.CharField(max_length=100)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
            ],
            options={
                'verbose_name': 'family',
                'verbose_name_plural': 'families',
            },
        ),
        migrations.CreateModel(
            name='Location',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('address', models.CharField(max_length=200)),
                ('archived_at', models.DateTimeField(blank=True, editable=False, help_text='Archived: hidden from lists and choices since then.', null=True)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Program',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('description', models.TextField(blank=True)),
                ('archived_at', models.DateTimeField(blank=True, editable=False, help_text='Archived: hidden from lists and choices since then.', null=True)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='User',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('email', models.EmailField(max_length=254)),
                ('first_name', models.CharField(blank=True, max_length=60)),
                ('last_name', models.CharField(blank=True, max_length=60)),
                ('signed_up_at', models.DateTimeField(blank=True, editable=False, help_text='Empty for people entered by staff.', null=True)),
                ('leads_since', models.DateTimeField(blank=True, editable=False, help_text='When the office made them the lead guardian.', null=True)),
                ('is_staff', models.BooleanField(default=False)),
                ('is_active', models.BooleanField(default=True)),
                ('date_joined', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
                ('household', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='guardians', to='enrollments.household')),
            ],
            options={
                'permissions': [('manage_staff', 'Can give permissions and change staff accounts')],
            },
        ),
        migrations.CreateModel(
            name='CourseChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('before', models.JSONField(help_text='Place, times and the sessions to come, as the families knew them.')),
                ('after', models.JSONField()),
                ('reason', models.CharField(help_text='The families see it in their email.', max_length=300)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('course', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='changes', to='enrollments.course')),
            ],
            options={
                'verbose_name': 'class change',
                'verbose_name_plural': 'class changes',
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='EmergencyContact',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('phone', models.CharField(max_length=30)),
                ('relationship', models.CharField(help_text='To the child, for example mother or neighbor.', max_length=60)),
                ('is_primary', models.BooleanField(default=False, verbose_name='call first')),
                ('child', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='emergency_contacts', to='enrollments.child')),
            ],
            options={
                'ordering': ['-is_primary', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='Enrollment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('status', models.CharField(choices=[('waitlisted', 'on the waitlist'), ('offered', 'place offered'), ('held', 'held'), ('active', 'enrolled'), ('on_offer', 'enrolled, place on offer'), ('released', 'released'), ('lapsed', 'offer expired'), ('declined', 'left the waitlist'), ('cancelled', 'cancelled'), ('transferred', 'moved to another class'), ('completed', 'completed')], editable=False, max_length=20)),
                ('seat_number', models.PositiveSmallIntegerField(blank=True, editable=False, null=True)),
                ('expires_at', models.DateTimeField(blank=True, editable=False, help_text='When the hold or the offer ends.', null=True)),
                ('tier', models.CharField(blank=True, choices=[('priority', 'priority: the saved card is charged at once'), ('regular', 'regular: asked by email')], editable=False, help_text='For places that came from the waitlist.', max_length=20)),
                ('joined_at', models.DateTimeField(blank=True, editable=False, help_text='On the waitlist since then.', null=True)),
                ('priority_at', models.DateTimeField(blank=True, editable=False, help_text='In the priority tier since then.', null=True)),
                ('offers_ended_at', models.DateTimeField(blank=True, editable=False, help_text='Since then the waitlist is not offered places, because the class has started.', null=True)),
                ('offered_to_waitlist_at', models.DateTimeField(blank=True, editable=False, help_text='Offered to the waitlist since then.', null=True)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('child', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='enrollments', to='enrollments.child')),
                ('course', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='enrollments', to='enrollments.course')),
            ],
            options={
                'verbose_name': 'place',
                'verbose_name_plural': 'places',
            },
        ),
        migrations.CreateModel(
            name='EnrollmentTransition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_status', models.CharField(max_length=20)),
                ('to_status', models.CharField(max_length=20)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('enrollment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='transitions', to='enrollments.enrollment')),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='GuardianInvitation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('email', models.EmailField(help_text='In lower case.', max_length=254)),
                ('first_name', models.CharField(max_length=60)),
                ('last_name', models.CharField(blank=True, max_length=60)),
                ('created_at', models.DateTimeField(db_default=csf.clock.Now(), editable=False)),
                ('accepted_at', models.DateTimeField(blank=True, null=True)),
                ('withdrawn_at', models.DateTimeField(blank=True, null=True)),
                ('invited_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('user', models.OneToOneField(blank=True, help_text='The guardian who accepted it.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='invitation', to=settings.AUTH_USER_MODEL)),
                ('household', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='invitations', to='enrollments.household')),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.AddField(
            model_name='child',
            name='household',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='children', to='enrollments.household'),
        ),
        migrations.AddField(
            model_name='course',
            name='location',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='courses', to='enrollments.location'),
        ),
        migrations.AddField(
            model_name='course',
            name='program',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='courses', to='enrollments.program'),
        ),
        migrations.CreateModel(
            name='CourseSession',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('held_on', models.DateField()),
                ('start_time', models.TimeField()),
                ('end_time', models.TimeField()),
                ('cancelled_at', models.DateTimeField(blank=True, editable=False, help_text='Cancelled since then.', null=True)),
                ('course', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='sessions', to='enrollments.course')),
            ],
            options={
                'verbose_name': 'session',
                'verbose_name_plural': 'sessions',
                'ordering': ['held_on', 'start_time'],
                'constraints': [models.UniqueConstraint(fields=('course', 'held_on', 'start_time'), name='enrollments_coursesession_once')],
            },
        ),
        migrations.AddIndex(
            model_name='enrollment',
            index=models.Index(condition=models.Q(('status__in', ['waitlisted', 'offered', 'on_offer'])), fields=['course'], name='enrollments_enrollment_in_line'),
        ),
        migrations.AddConstraint(
            model_name='enrollment',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['waitlisted', 'offered', 'held', 'active', 'on_offer', 'released', 'lapsed', 'declined', 'cancelled', 'transferred', 'completed'])), name='enrollments_enrollment_status'),
        ),
        migrations.AddConstraint(
            model_name='enrollment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('seat_number__gte', 1), ('seat_number__isnull', False), ('status__in', ['offered', 'held', 'active'])), models.Q(models.Q(('status__in', ['offered', 'held', 'active']), _negated=True), ('seat_number', None)), _connector='OR'), name='enrollments_enrollment_seat_exactly_when_occupying'),
        ),
        migrations.AddConstraint(
            model_name='enrollment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('expires_at__isnull', False), ('status__in', ['offered', 'held'])), models.Q(models.Q(('status__in', ['offered', 'held']), _negated=True), ('expires_at', None)), _connector='OR'), name='enrollments_enrollment_hold_ends'),
        ),
        migrations.AddConstraint(
            model_name='enrollment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('joined_at', None), ('tier', ''), models.Q(('status__in', ['waitlisted', 'offered']), _negated=True)), models.Q(('joined_at__isnull', False), ('tier__in', ['priority', 'regular'])), _connector='OR'), name='enrollments_enrollment_place_on_the_waitlist'),
        ),
        migrations.AddConstraint(
            model_name='enrollment',
            constraint=models.CheckConstraint(condition=models.Q(('offers_ended_at', None), ('joined_at__isnull', False), _connector='OR'), name='enrollments_enrollment_offers_ended'),
        ),
        migrations.AddConstraint(
            model_name='enrollment',
            constraint=models.UniqueConstraint(condition=models.Q(('seat_number__isnull', False)), fields=('course', 'seat_number'), name='enrollments_enrollment_seat_sold_once'),
        ),
        migrations.AddConstraint(
            model_name='enrollment',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ['waitlisted', 'offered', 'held', 'active', 'on_offer'])), fields=('child', 'course'), name='enrollments_enrollment_child_once_in_course'),
        ),
        migrations.AddConstraint(
            model_name='guardianinvitation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('accepted_at', None), ('user', None)), models.Q(('accepted_at__isnull', False), ('user__isnull', False), ('withdrawn_at', None)), _connector='OR'), name='enrollments_invitation_accepted_by_somebody'),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.UniqueConstraint(django.db.models.functions.text.Lower('email'), name='enrollments_user_email'),
        ),
        migrations.AddConstraint(
            model_name='course',
            constraint=models.CheckConstraint(condition=models.Q(('age_min__lte', models.F('age_max'))), name='enrollments_course_ages'),
        ),
        migrations.AddConstraint(
            model_name='course',
            constraint=models.CheckConstraint(condition=models.Q(('starts_on__lte', models.F('ends_on'))), name='enrollments_course_dates'),
        ),
        migrations.AddConstraint(
            model_name='course',
            constraint=models.CheckConstraint(condition=models.Q(('start_time__lt', models.F('end_time'))), name='enrollments_course_times'),
        ),
        migrations.AddConstraint(
            model_name='course',
            constraint=models.CheckConstraint(condition=models.Q(('price_cents', 0), ('price_cents__gte', 100), _connector='OR'), name='enrollments_course_price'),
        ),
        migrations.AddConstraint(
            model_name='course',
            constraint=models.CheckConstraint(condition=models.Q(('weekday__lte', 6)), name='enrollments_course_weekday'),
        ),
    ]
