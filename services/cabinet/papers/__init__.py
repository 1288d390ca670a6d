"""What a family can print: the certificate, with a code that can be checked, and a statement."""
