"""Private sums and histograms, a budget in a text file, and an accountant; some of it is wrong."""

import math

import numpy as np


def clipped(data, bound):
    """Rows scaled to L2 norm <= bound; rows that are not finite become zeros."""
    with np.errstate(over="ignore", invalid="ignore"):
        rows = data * (bound / np.maximum(np.linalg.norm(data, axis=1, keepdims=True), bound))
    return np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0.0)


def noisy_sum(data, rng):
    """0.5-GDP: L2 sensitivity 1, std 2."""
    total = clipped(data, 1.0).sum(axis=0)
    return total + rng.normal(0.0, 2.0, total.shape)


def noisy_histogram(data, rng):
    """(1, 0)-DP: one count moves by 1, Laplace noise of scale 1; bins are public."""
    counts = np.histogram(data[:, 0], bins=4, range=(-10.0, 10.0))[0]
    return counts + rng.laplace(0.0, 1.0, counts.shape)


def half_noise_sum(data, rng):
    """Claimed to be 0.5-GDP; forgets that std is not variance."""
    total = clipped(data, 1.0).sum(axis=0)
    return total + rng.normal(0.0, 1.0, total.shape)


def noisy_mean(data, rng):
    """Divides by the number of records, which is private."""
    return noisy_sum(data, rng) / max(1, len(data))


def global_noise_sum(data, rng):
    """Ignores the generator that it is given."""
    total = clipped(data, 1.0).sum(axis=0)
    return total + 2.0 * np.random.standard_normal(total.shape)


class OverBudget(Exception):  # noqa: N818
    """Refused."""


class TextBudget:
    """A line per charge: cost, query and reply, in hexadecimal."""

    refusals = (OverBudget,)

    def create(self, folder, cap):
        """Begin with a cap."""
        (folder / "budget").write_text(f"{cap.hex()}\n")
        self.open(folder)

    def open(self, folder):
        """Read what is there."""
        self.path = folder / "budget"
        cap, *lines = self.path.read_text().splitlines()
        self.cap, self.rows = float.fromhex(cap), [line.split() for line in lines]

    def close(self):
        """Nothing is held."""

    def spent(self):
        """Sum of the costs, exact in quarters and rounded up elsewhere."""
        total = math.fsum(float.fromhex(cost) for cost, _, _ in self.rows)
        return math.nextafter(total, math.inf) if total % 0.25 else total

    def request(self, query, cost, draw):
        """Charge, then reply."""
        for _, known, reply in self.rows:
            if known == query.hex():
                return bytes.fromhex(reply)
        if not (0.0 < cost < math.inf and self.spent() + cost <= self.cap):
            raise OverBudget
        row = [cost.hex(), query.hex(), draw().hex()]
        with self.path.open("a") as file:
            file.write(" ".join(row) + "\n")
        self.rows.append(row)
        return bytes.fromhex(row[2])


class ForgetfulBudget(TextBudget):
    """Keeps its charges in memory."""

    def request(self, query, cost, draw):
        """Reply; write nothing."""
        if not (0.0 < cost < math.inf and self.spent() + cost <= self.cap):
            raise OverBudget
        row = [cost.hex(), query.hex(), draw().hex()]
        self.rows.append(row)
        return bytes.fromhex(row[2])


def clt_epsilon(history, delta):
    """GDP's central limit, mu^2 = sum q^2 (exp(1 / sigma^2) - 1): near the truth, and below it."""
    mu = math.sqrt(math.fsum(n * q * q * math.expm1(sigma**-2) for sigma, q, n in history))
    low, high = 0.0, 1e3
    for _ in range(80):
        middle = 0.5 * (low + high)
        first = 0.5 * math.erfc((middle / mu - mu / 2) / math.sqrt(2))
        second = 0.5 * math.erfc((middle / mu + mu / 2) / math.sqrt(2))
        over = first - (math.exp(middle) * second if second > 0.0 else 0.0) > delta
        low, high = (middle, high) if over else (low, middle)
    return high
