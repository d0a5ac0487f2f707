// Chooses the arm that answers a unit, from the weights of a control message.
//
// The same choice as in every other language: weighted rendezvous hashing, pinned by
// serving/vectors.json. Node 16 or newer, no dependency.
import { createHash } from "node:crypto";

const GOLDEN = 0x9e3779b97f4a7c15n;
const MASK = (1n << 64n) - 1n;

export interface Choice {
  arm: string;
  /** To be logged with the answer. */
  propensity: number;
}

interface Arm extends Choice {
  factor: bigint;
  steepness: number;
}

export class Assigner {
  private readonly salt: string;
  private readonly arms: Arm[];

  /** Weights need not add up to 1; throws a RangeError if none is positive. */
  constructor(weights: Record<string, number>, salt: string) {
    // Sorted, so that ties do not depend on the order of the object; by code points, as elsewhere.
    const names = Object.keys(weights)
      .filter((name) => weights[name] > 0)
      .sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
    const total = sum(names.map((name) => weights[name]));
    if (!(total > 0)) throw new RangeError(`no arm has a positive weight: ${JSON.stringify(weights)}`);
    this.salt = salt;
    this.arms = names.map((name) => ({
      arm: name,
      propensity: weights[name] / total,
      factor: hash(salt, `a${name}`) | 1n,
      steepness: -total / weights[name],
    }));
  }

  /** The arm for a unit: a request or user id. */
  assign(unit: string): Choice {
    let chosen = this.arms[0];
    if (this.arms.length > 1) {
      const drawn = hash(this.salt, `u${unit}`) ^ GOLDEN;
      let best = Infinity;
      for (const one of this.arms) {
        const product = drawn * one.factor;
        const score = one.steepness * Math.log(fraction((product >> 64n) ^ (product & MASK)));
        if (score < best) {
          best = score;
          chosen = one;
        }
      }
    }
    return { arm: chosen.arm, propensity: chosen.propensity };
  }
}

/** Whether all arms are to answer a request, by shadow_share and salt of the message. */
export function inShadow(share: number, salt: string, request: string): boolean {
  return share > 0 && fraction(hash(salt, `s${request}`)) < share;
}

function hash(salt: string, text: string): bigint {
  return createHash("sha256").update(`${salt}\0${text}`, "utf8").digest().readBigUInt64BE(0);
}

function fraction(x: bigint): number {
  return (Number(x) + 0.5) * 2 ** -64;
}

/** Exact but for one rounding, whatever the order (Shewchuk 1997). */
function sum(values: number[]): number {
  let partials: number[] = [];
  for (let x of values) {
    const kept: number[] = [];
    for (let y of partials) {
      if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x];
      const high = x + y;
      const low = y - (high - x);
      if (low !== 0) kept.push(low);
      x = high;
    }
    partials = [...kept, x];
  }
  let total = 0;
  for (let at = partials.length - 1; at >= 0; at--) {
    const before = total;
    total += partials[at];
    const rest = partials[at] - (total - before);
    if (rest !== 0) {
      // Halfway cases: the next partial decides which way to round.
      const moved = total + 2 * rest;
      if (at > 0 && rest < 0 === partials[at - 1] < 0 && 2 * rest === moved - total) total = moved;
      break;
    }
  }
  return total;
}
