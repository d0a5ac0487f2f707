// Package leverframe chooses the arm that answers a unit, from the weights of a control message.
//
// It is the same choice as in every other language: weighted rendezvous hashing, pinned by
// serving/vectors.json. A caller that follows the topic control needs nothing else of Leverframe.
package leverframe

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"sort"
)

const golden = 0x9E3779B97F4A7C15

type arm struct {
	name      string
	factor    uint64
	steepness float64
	share     float64
}

// Assigner assigns units by the weights and the salt of one control message. It is immutable, so
// any number of goroutines may use it.
type Assigner struct {
	salt string
	arms []arm
}

// NewAssigner fails if no arm has a positive weight. The weights need not add up to 1.
func NewAssigner(weights map[string]float64, salt string) (*Assigner, error) {
	names := make([]string, 0, len(weights))
	shares := make([]float64, 0, len(weights))
	for name, weight := range weights {
		if weight > 0 {
			names = append(names, name)
			shares = append(shares, weight)
		}
	}
	total := sum(shares)
	if !(total > 0) {
		return nil, errors.New("leverframe: no arm has a positive weight")
	}
	sort.Strings(names) // so that ties do not depend on the order of the map
	arms := make([]arm, len(names))
	for at, name := range names {
		weight := weights[name]
		arms[at] = arm{name, hash(salt, "a"+name) | 1, -total / weight, weight / total}
	}
	return &Assigner{salt, arms}, nil
}

// Assign returns the arm for a unit (a request or user id), and the propensity to log with it.
func (a *Assigner) Assign(unit string) (string, float64) {
	if len(a.arms) == 1 {
		return a.arms[0].name, a.arms[0].share
	}
	drawn := hash(a.salt, "u"+unit) ^ golden
	best, chosen := math.Inf(1), 0
	for at, one := range a.arms {
		high, low := bits.Mul64(drawn, one.factor)
		score := one.steepness * math.Log(fraction(high^low))
		if score < best {
			best, chosen = score, at
		}
	}
	return a.arms[chosen].name, a.arms[chosen].share
}

// InShadow tells whether all arms are to answer a request, by shadow_share and salt of the message.
func InShadow(share float64, salt, request string) bool {
	return share > 0 && fraction(hash(salt, "s"+request)) < share
}

func hash(salt, text string) uint64 {
	digest := sha256.Sum256([]byte(salt + "\x00" + text))
	return binary.BigEndian.Uint64(digest[:8])
}

func fraction(x uint64) float64 {
	return (float64(x) + 0.5) * 0x1p-64
}

// sum is exact but for one rounding, whatever the order (Shewchuk 1997).
func sum(values []float64) float64 {
	var partials []float64
	for _, x := range values {
		kept := 0
		for _, y := range partials {
			if math.Abs(x) < math.Abs(y) {
				x, y = y, x
			}
			high := x + y
			if low := y - (high - x); low != 0 {
				partials[kept] = low
				kept++
			}
			x = high
		}
		partials = append(partials[:kept], x)
	}
	total := 0.0
	for at := len(partials) - 1; at >= 0; at-- {
		before := total
		total += partials[at]
		if rest := partials[at] - (total - before); rest != 0 {
			// Halfway cases: the next partial decides which way to round.
			if at > 0 && (rest < 0) == (partials[at-1] < 0) {
				if moved := total + 2*rest; 2*rest == moved-total {
					total = moved
				}
			}
			break
		}
	}
	return total
}
