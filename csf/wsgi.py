from django.core.wsgi import get_wsgi_application

from csf.startup.process import DO_NOT_TRY_AGAIN, read_settings, refuse_unsafe_settings

read_settings(or_exit_with=DO_NOT_TRY_AGAIN)
application = get_wsgi_application()
refuse_unsafe_settings(or_exit_with=DO_NOT_TRY_AGAIN)
