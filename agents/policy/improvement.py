"""One improvement of actor and critic from imagined rollouts: clipped policy gradient (PPO).

Each batch is used for several epochs, which the clip keeps safe (arXiv 1707.06347). Advantages are
divided by the running spread of returns; the divergence from the cloned policy keeps the actor
where the world model has seen data, entropy keeps it trying.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agents.policy.actor_critic import ActorCritic
from agents.policy.heads import entropy, kl_divergence, log_prob
from agents.policy.imagination import Imagined
from agents.policy.returns import ReturnScale, lambda_returns
from multimodal.errors import ConfigError

__all__ = ["Improver", "Settings"]


@dataclass(frozen=True)
class Settings:
    """What the improvement can be told.

    Attributes:
        discount: γ.
        mix: λ of the returns.
        clip: how far a chance may move within one batch.
        epochs: passes over a batch.
        minibatch: samples of one optimizer step.
        entropy: weight of the entropy.
        prior: weight of the divergence from the cloned policy.
        learning_rate: of actor and critic.
        grad_clip: largest norm of a gradient.
    """

    discount: float = 0.97
    mix: float = 0.95
    clip: float = 0.2
    epochs: int = 3
    minibatch: int = 512
    entropy: float = 0.0002
    prior: float = 0.002
    learning_rate: float = 5e-4
    grad_clip: float = 1.0


class Improver:
    """Holds the optimizer and the scale of returns.

    Args:
        policy: whose actor and critic learn.
        prior: the cloned policy, or None for no prior.
        settings: see there.
    """

    def __init__(self, policy: ActorCritic, prior: ActorCritic | None, settings: Settings) -> None:
        self.policy, self.prior, self.settings = policy, prior, settings
        self.scale = ReturnScale()
        modules: tuple[nn.Module, ...] = (policy.actor, policy.action, policy.critic, policy.value)
        self.parameters = [parameter for module in modules for parameter in module.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.learning_rate, weight_decay=1e-4, fused=True
        )

    def slow_down(self, share: float) -> None:
        """Go on with a share of the learning rate that the settings name."""
        for group in self.optimizer.param_groups:
            group["lr"] = share * self.settings.learning_rate

    def improve(
        self, batch: Imagined, generator: torch.Generator, actor: bool = True
    ) -> dict[str, float]:
        """One round of updates.

        Args:
            batch: imagined rollouts.
            generator: of the order of samples.
            actor: False trains the critic alone.

        Returns:
            Figures of the round.

        Raises:
            ConfigError: rewards are not finite.
        """
        if not bool(torch.isfinite(batch.rewards).all()):
            raise ConfigError(
                "The world's rewards are not finite (NaN or infinite), so there is nothing to "
                "learn from. Check the reward head of the checkpoint, or the recorded rewards it "
                "was trained on."
            )
        steps, lanes = batch.rewards.shape
        with torch.no_grad():
            flat = batch.features.flatten(0, 1)
            values = self.policy.value.expect(self.policy.values(flat)).view(steps + 1, lanes)
            returns = lambda_returns(
                batch.rewards,
                (~batch.ends).float(),
                values,
                self.settings.discount,
                self.settings.mix,
            )
            scale = self.scale.update(returns)
            advantages = (returns - values[:-1]) / scale
        told = {
            "features": batch.features[:-1].flatten(0, 1),
            "bins": batch.bins.flatten(0, 1),
            "chance": batch.chance.flatten(),
            "returns": returns.flatten(),
            "advantages": advantages.flatten(),
        }
        if self.prior is not None:
            with torch.no_grad():
                told["prior"] = self.prior.log_probs(told["features"])
        figures: list[dict[str, Tensor]] = []
        for _ in range(self.settings.epochs):
            order = torch.randperm(steps * lanes, generator=generator, device=generator.device)
            for part in order.split(self.settings.minibatch):
                chosen = {name: value[part] for name, value in told.items()}
                figures.append(self._step(chosen, actor))
        mean = {k: float(torch.stack([f[k] for f in figures]).mean()) for k in figures[0]}
        return {
            **mean,
            "scale": scale,
            "reward": float(batch.rewards.mean()),
            # Goals reached for each step: the higher, the faster they are reached.
            "success_per_step": float(batch.ends.float().mean()),
            "doubt": float(batch.doubt.mean()),
        }

    def _step(self, chosen: dict[str, Tensor], actor: bool) -> dict[str, Tensor]:
        settings = self.settings
        value_logits = self.policy.values(chosen["features"])
        critic_loss = self.policy.value.loss(value_logits, chosen["returns"]).mean()
        log_probs = self.policy.log_probs(chosen["features"])
        ratio = (log_prob(log_probs, chosen["bins"]) - chosen["chance"]).exp()
        gain = chosen["advantages"]
        clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
        actor_loss = -torch.minimum(ratio * gain, clipped * gain).mean()
        spread = entropy(log_probs).mean()
        drift = torch.zeros_like(spread)
        if "prior" in chosen:
            drift = kl_divergence(log_probs, chosen["prior"]).mean()
        loss = critic_loss
        if actor:
            loss = loss + actor_loss - settings.entropy * spread + settings.prior * drift
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, settings.grad_clip)
        self.optimizer.step()
        figures = {
            "critic_loss": critic_loss,
            "actor_loss": actor_loss,
            "entropy": spread,
            "prior_kl": drift,
            "clipped": ((ratio - 1).abs() > settings.clip).float().mean(),
            "grad_norm": norm,
        }
        return {name: value.detach() for name, value in figures.items()}
