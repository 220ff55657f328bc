"""Language and vision-language models that an agent can reason with, behind one protocol."""
