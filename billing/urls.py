from django.urls import include, path

from billing import cart_views, money_views, views, waitlist_views, webhooks

# dj-stripe's admin and command line reverse this name in its namespace. Never include djstripe.urls itself:
# its view stores unsigned requests.
djstripe_urls = (
    [path("stripe/webhook/<uuid:uuid>/", webhooks.stripe_webhook, name="djstripe_webhook_by_uuid")],
    "djstripe",
)

urlpatterns = [
    path("", include(djstripe_urls)),
    path("classes/<slug:slug>/waitlist/", waitlist_views.join, name="join_waitlist"),
    path("account/waitlist/<uuid:public_id>/", waitlist_views.accept, name="accept_offer"),
    path("account/waitlist/<uuid:public_id>/leave/", waitlist_views.leave_waitlist, name="leave_waitlist"),
    path("offer/<str:token>/", waitlist_views.offer, name="offer"),
    path("offer/<str:token>/decline/", waitlist_views.decline_offer, name="decline_offer"),
    path("cart/", cart_views.cart, name="cart"),
    path("checkout/", views.checkout, name="checkout"),
    path("account/", money_views.account, name="account"),
    path("account/card/", money_views.change_card, name="change_card"),
    path("account/card/<uuid:public_id>/stop/", money_views.stop_card, name="stop_card"),
    path(
        "account/installments/<uuid:public_id>/pay/",
        money_views.pay_own_installment,
        name="pay_own_installment",
    ),
    path("pay/<str:token>/", money_views.pay_installment, name="pay_installment"),
    path("account/orders/<uuid:public_id>/", views.order, name="order"),
    path("account/orders/<uuid:public_id>/pay/", views.pay, name="pay"),
    path("account/orders/<uuid:public_id>/cancel/", views.cancel_order, name="cancel_order"),
    path("account/enrollments/<uuid:public_id>/cancel/", views.cancel_enrollment, name="cancel_enrollment"),
    path("account/enrollments/<uuid:public_id>/release/", views.release_place, name="release_place"),
    path("account/enrollments/<uuid:public_id>/keep/", views.keep_place, name="keep_place"),
]
