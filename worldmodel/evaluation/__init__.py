"""How good the models beside the world model are: the verb `evaluate`, a module for each model."""
