package dispute

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/tongma/tongma"
)

// allowed is the whole of the rules once more, as text and by hand: stage, party,
// action, and where it leads. What is not here is refused.
var allowed = map[string]string{
	"none raiser raise":                    "raised",
	"raised respondent accept":             "accepted",
	"raised respondent represent":          "represented",
	"raised raiser withdraw":               "withdrawn",
	"raised clock expire":                  "deemed-accepted",
	"represented raiser withdraw":          "withdrawn",
	"represented raiser pre-arbitrate":     "pre-arbitration",
	"represented respondent accept":        "accepted",
	"represented clock expire":             "deemed-withdrawn",
	"pre-arbitration respondent accept":    "accepted",
	"pre-arbitration respondent arbitrate": "arbitration",
	"pre-arbitration raiser withdraw":      "withdrawn",
	"pre-arbitration clock expire":         "deemed-accepted",
	"arbitration respondent accept":        "accepted",
	"arbitration raiser withdraw":          "withdrawn",
	"arbitration operator propose-uphold":  "uphold-proposed",
	"arbitration operator propose-reject":  "reject-proposed",
	"uphold-proposed operator approve":     "upheld",
	"uphold-proposed operator refuse":      "arbitration",
	"reject-proposed operator approve":     "rejected",
	"reject-proposed operator refuse":      "arbitration",
}

const deadline = 1000

// TestEveryStageActionAndParty goes over all numbers of stages, parties and actions,
// known or not, before, at and after the deadline, by the maker and by another.
func TestEveryStageActionAndParty(t *testing.T) {
	reached := 0
	for stage := range Stage(20) {
		for party := range Party(7) {
			for action := range Action(14) {
				for _, now := range []int64{deadline - 1, deadline, deadline + 1} {
					for _, person := range []string{"", "ann", " ANN", "bob"} {
						who := Who{Party: party, Person: person, Maker: "Ann"}
						to, effect, err := Next(stage, who, action, now, deadline)
						want, reason := expected(stage, who, action, now)
						got := tongma.ReasonOf(err)
						if to != want || got != reason || (err != nil && (effect != Nothing || to != stage)) {
							t.Fatalf("%v, %+v, %v at %d: %v, %v, want %v, %v", stage, who, action, now, to, got, want, reason)
						}
						if err == nil {
							reached++
							if charged := to == Accepted || to == DeemedAccepted || to == Upheld; charged != (effect == Chargeback) {
								t.Fatalf("%v by %v: %v", stage, action, effect)
							}
						}
					}
				}
			}
		}
	}
	if reached < 100 {
		t.Fatalf("%d moves were allowed", reached)
	}
}

func expected(stage Stage, who Who, action Action, now int64) (Stage, tongma.Reason) {
	name := stage.String()
	if stage == NoStage {
		name = "none"
		if action != Raise {
			return stage, tongma.DisputeUnknown
		}
	} else if name == "unknown" {
		return stage, tongma.DisputeUnknown
	}
	to, ok := allowed[fmt.Sprintf("%s %v %v", name, who.Party, action)]
	if !ok {
		return stage, tongma.DisputeTurn
	}
	if who.Party == Operator {
		switch {
		case who.Person == "":
			return stage, tongma.FieldInvalid
		case (action == Approve || action == Refuse) && who.Person != "bob":
			return stage, tongma.MakerIsChecker
		}
	}
	timed := name == "none" || name == "raised" || name == "represented" || name == "pre-arbitration"
	switch {
	case action == Expire && now <= deadline:
		return stage, tongma.TooEarly
	case action != Expire && timed && now > deadline:
		return stage, tongma.DisputeLate
	}
	reached, err := ParseStage(to)
	if err != nil {
		panic(err)
	}
	return reached, tongma.NoReason
}

func TestARulingThatNobodyProposedCannotBeApproved(t *testing.T) {
	_, _, err := Next(UpholdProposed, Who{Party: Operator, Person: "bob"}, Approve, 1, 0)
	if tongma.ReasonOf(err) != tongma.FieldInvalid {
		t.Fatal(err)
	}
}

func TestADeadlineOfZeroNeverPasses(t *testing.T) {
	for _, s := range []Stage{Raised, Represented, PreArbitration} {
		if _, _, err := Next(s, Who{Party: Clock}, Expire, 1<<60, 0); tongma.ReasonOf(err) != tongma.TooEarly {
			t.Fatalf("%v: %v", s, err)
		}
	}
	if _, _, err := Next(Represented, Who{Party: Raiser}, PreArbitrate, 1<<60, 0); err != nil {
		t.Fatal(err)
	}
}

// TestAtEveryMomentEitherThePartyOrTheClock: nobody can race the clock.
func TestAtEveryMomentEitherThePartyOrTheClock(t *testing.T) {
	for _, s := range []Stage{Raised, Represented, PreArbitration} {
		for now := int64(deadline - 2); now < deadline+3; now++ {
			_, _, clock := Next(s, Who{Party: Clock}, Expire, now, deadline)
			_, _, party := Next(s, Who{Party: s.Turn()}, Moves(s, s.Turn())[0], now, deadline)
			if (clock == nil) == (party == nil) {
				t.Fatalf("%v at %d: %v, %v", s, now, clock, party)
			}
		}
	}
}

func TestEveryOpenStageWaitsForSomebodyAndEndsAreEnds(t *testing.T) {
	for _, s := range Stages() {
		moves := 0
		for _, p := range []Party{Raiser, Respondent, Operator, Clock} {
			moves += len(Moves(s, p))
		}
		if s.Open() == s.Final() || s.Open() != (s.Turn() != NoParty) || s.Open() != (moves > 0) || s.Open() && len(Moves(s, s.Turn())) == 0 {
			t.Errorf("%v: open %v, final %v, turn %v, %d moves", s, s.Open(), s.Final(), s.Turn(), moves)
		}
		if s.Timed() != slices.Contains(Moves(s, Clock), Expire) {
			t.Errorf("%v: timed %v", s, s.Timed())
		}
	}
}

// TestEveryDisputeEnds: from every stage, whatever was done, each side can bring
// about an end; and no stage is out of reach.
func TestEveryDisputeEnds(t *testing.T) {
	seen := map[Stage]bool{NoStage: true}
	for again := true; again; {
		again = false
		for _, r := range rules {
			if seen[r.from] && !seen[r.to] {
				seen[r.to], again = true, true
			}
		}
	}
	for _, s := range Stages() {
		if !seen[s] {
			t.Errorf("%v is never reached", s)
		}
		if s.Final() || s == UpholdProposed || s == RejectProposed {
			continue
		}
		for _, p := range []Party{Raiser, Respondent} {
			if can := Moves(s, p); !slices.Contains(can, Withdraw) && !slices.Contains(can, Accept) {
				t.Errorf("%v: the %v cannot give in", s, p)
			}
		}
	}
}

func TestAStepIsOneMove(t *testing.T) {
	seen := map[[2]Stage]bool{}
	for _, r := range rules {
		if seen[[2]Stage{r.from, r.to}] {
			t.Errorf("two moves lead from %v to %v", r.from, r.to)
		}
		seen[[2]Stage{r.from, r.to}] = true
		if p, a, ok := Step(r.from, r.to); !ok || p != r.party || a != r.action {
			t.Errorf("%v to %v: %v %v", r.from, r.to, p, a)
		}
	}
	if _, _, ok := Step(Accepted, Withdrawn); ok {
		t.Error("an end has no step")
	}
}

func TestNamesAreReadBack(t *testing.T) {
	for _, s := range Stages() {
		if got, err := ParseStage(s.String()); err != nil || got != s {
			t.Errorf("%v: %v %v", s, got, err)
		}
		text, err := json.Marshal(s)
		var back Stage
		if err != nil || json.Unmarshal(text, &back) != nil || back != s {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, a := range Actions() {
		if got, err := ParseAction(a.String()); err != nil || got != a {
			t.Errorf("%v: %v %v", a, got, err)
		}
	}
	for _, p := range []Party{Raiser, Respondent, Operator, Clock} {
		if got, err := ParseParty(p.String()); err != nil || got != p {
			t.Errorf("%v: %v %v", p, got, err)
		}
	}
	for _, bad := range []string{"", "unknown", "closed"} {
		_, e1 := ParseStage(bad)
		_, e2 := ParseAction(bad)
		_, e3 := ParseParty(bad)
		if e1 == nil || e2 == nil || e3 == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if _, err := Stage(9).MarshalText(); err == nil {
		t.Error("9 is no stage")
	}
}
