"""Policies that choose by chance: epsilon-greedy, Thompson and its kin, EXP3, top-two."""

import math
import random

import numpy as np
import pytest
from river.bandit import EpsilonGreedy as RiverEpsilonGreedy
from river.bandit import ThompsonSampling as RiverThompsonSampling
from river.proba import Beta

from policies.discounted_thompson import DiscountedThompson
from policies.epsilon_greedy import EpsilonGreedy
from policies.exp3 import Exp3
from policies.quadrature import best_of_betas
from policies.statistics import ArmStats, TimeBuckets
from policies.thompson import Thompson
from policies.top_two_thompson import TopTwoThompson, best_arm, log_mixture_ratio

