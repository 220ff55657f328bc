"""What to run: one file per verb of the command line, and the groups they choose from.

| group | question |
|---|---|
| `size` | how big is the model, and how long is it trained? |
| `recipe` | which objective trains the dynamics? |
| `world` | which MuJoCo world? |
| `wandb` | where do training logs go? |
"""

__all__: list[str] = []
