package leverframe

import (
	"encoding/json"
	"os"
	"testing"
)

type vectors struct {
	Cases []struct {
		Weights    map[string]float64
		Salt, Unit string
		Arm        string
		Propensity float64
	}
	Shadows struct {
		Cases []struct {
			Share   float64 `json:"shadow_share"`
			Salt    string
			Request string `json:"request_id"`
			IsDrawn bool   `json:"is_drawn"`
		}
	}
}

func TestVectors(t *testing.T) {
	raw, err := os.ReadFile("../../serving/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var told vectors
	if err := json.Unmarshal(raw, &told); err != nil {
		t.Fatal(err)
	}
	if len(told.Cases) < 1000 {
		t.Fatalf("only %d cases", len(told.Cases))
	}
	for _, one := range told.Cases {
		assigner, err := NewAssigner(one.Weights, one.Salt)
		if err != nil {
			t.Fatal(err)
		}
		arm, propensity := assigner.Assign(one.Unit)
		if arm != one.Arm || propensity != one.Propensity {
			t.Fatalf("%v %q %q: %s %v, not %s %v", one.Weights, one.Salt, one.Unit, arm, propensity, one.Arm, one.Propensity)
		}
	}
	for _, one := range told.Shadows.Cases {
		if InShadow(one.Share, one.Salt, one.Request) != one.IsDrawn {
			t.Fatalf("%v %q %q: not %v", one.Share, one.Salt, one.Request, one.IsDrawn)
		}
	}
}

func TestNobodyMayAnswer(t *testing.T) {
	if _, err := NewAssigner(map[string]float64{"a": 0}, "00"); err == nil {
		t.Fatal("an arm without weight was taken")
	}
}
