"""The words of emails: from a snapshot and a template to HTML, text and subject."""
