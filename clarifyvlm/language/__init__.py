"""The English of the generated world: what a response or a question says about a picture."""
