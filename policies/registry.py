"""stub"""
import numpy as np
class Uniform:
    name="thompson"
    def propensities(self, arms, now_ms):
        w=np.where(arms.eligible, 1.0, 0.0); return w/w.sum()
def make_policy(name, params): return Uniform()
