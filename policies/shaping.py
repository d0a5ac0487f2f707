"""stub"""
from dataclasses import dataclass
import numpy as np
@dataclass
class Shaped:
    weights: object
    steps: tuple = ()
def shape(w, *, arms, nursery, nursery_share, floor, previous, max_step):
    e=arms.eligible; n=e.sum(); f=min(floor,1/n)
    for i in np.flatnonzero(nursery&e):
        if w[i]<nursery_share:
            o=1-w[i]; w=w*((1-nursery_share)/o); w[i]=nursery_share
    w=np.where(e,(1-n*f)*w+f,0)
    if previous is not None:
        p=np.where(e,previous,0)
        if p.sum()>0:
            p=p/p.sum(); d=np.abs(w-p).max()
            if d>max_step: w=p+(w-p)*max_step/d
    return Shaped(w/w.sum())
