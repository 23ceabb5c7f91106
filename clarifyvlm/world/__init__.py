"""The generated world: scenes and their rendering, places, questions and their wording."""
