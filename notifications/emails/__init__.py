"""One module for each kind of email, which declares its `EMAIL`; its words are in templates/emails/.

The registry, receivers, previews, invariants and the table in docs/emails.md are computed from them.
"""
