package dispute

import (
	"strings"

	"github.com/tongma/tongma"
)

// Stage is where a dispute stands. Numbers are given once and never reused: they
// are written down. The zero Stage is no dispute.
type Stage uint8

// The stages. From Accepted on they are ends.
const (
	NoStage         Stage = 0
	Raised          Stage = 1  // the respondent is to accept or represent
	Represented     Stage = 2  // the respondent says why not: the raiser is to withdraw or go on
	PreArbitration  Stage = 3  // the raiser insists: the respondent is to accept or go on
	Arbitration     Stage = 4  // the operator is to rule
	UpholdProposed  Stage = 5  // one person of the operator proposes that the raiser is right
	RejectProposed  Stage = 6  // or that it is not; nothing is ruled yet
	Accepted        Stage = 10 // the respondent gave the money back
	DeemedAccepted  Stage = 11 // it let its deadline pass
	Withdrawn       Stage = 12 // the raiser gave up
	DeemedWithdrawn Stage = 13 // it let its deadline pass
	Upheld          Stage = 14 // ruled for the raiser
	Rejected        Stage = 15 // ruled for the respondent
)

// Stages returns every stage but NoStage, in order.
func Stages() []Stage {
	return []Stage{Raised, Represented, PreArbitration, Arbitration, UpholdProposed, RejectProposed,
		Accepted, DeemedAccepted, Withdrawn, DeemedWithdrawn, Upheld, Rejected}
}

var stageNames = [...]string{
	Raised: "raised", Represented: "represented", PreArbitration: "pre-arbitration", Arbitration: "arbitration",
	UpholdProposed: "uphold-proposed", RejectProposed: "reject-proposed",
	Accepted: "accepted", DeemedAccepted: "deemed-accepted", Withdrawn: "withdrawn", DeemedWithdrawn: "deemed-withdrawn",
	Upheld: "upheld", Rejected: "rejected",
}

// Known tells whether s is a stage that a dispute can be in.
func (s Stage) Known() bool { return nameAt(stageNames[:], uint8(s)) != "" }

// Final tells whether the dispute is over.
func (s Stage) Final() bool { return s.Known() && s >= Accepted }

// Open tells whether it is not.
func (s Stage) Open() bool { return s.Known() && s < Accepted }

// Timed tells whether somebody gives in by letting the stage's deadline pass.
// The other stages have none, or one that is only a promise.
func (s Stage) Timed() bool { return s == Raised || s == Represented || s == PreArbitration }

// Effect returns what reaching the stage does to the money.
func (s Stage) Effect() Effect {
	if s == Accepted || s == DeemedAccepted || s == Upheld {
		return Chargeback
	}
	return Nothing
}

// Turn returns whose move the stage waits for: NoParty when nobody's.
func (s Stage) Turn() Party {
	switch s {
	case Raised, PreArbitration:
		return Respondent
	case Represented:
		return Raiser
	case Arbitration, UpholdProposed, RejectProposed:
		return Operator
	}
	return NoParty
}

// String returns the stage's name, "unknown" for a number that is none.
func (s Stage) String() string { return orUnknown(nameAt(stageNames[:], uint8(s))) }

// MarshalText writes the name; it refuses what is no stage.
func (s Stage) MarshalText() ([]byte, error) { return nameText(s.String(), "stage") }

// UnmarshalText reads a name.
func (s *Stage) UnmarshalText(text []byte) error {
	got, err := ParseStage(string(text))
	if err == nil {
		*s = got
	}
	return err
}

// ParseStage reads a stage's name, in either case.
func ParseStage(name string) (Stage, error) {
	n, err := parseName(stageNames[:], name, "stage")
	return Stage(n), err
}

// Effect is what a step does to the money. The zero Effect is none.
type Effect uint8

const (
	Nothing    Effect = iota // no money moves
	Chargeback               // the respondent pays the disputed amount to the raiser
)

// String returns "nothing" or "chargeback".
func (e Effect) String() string { return [...]string{"nothing", "chargeback"}[e%2] }

// Party is who acts. The zero Party is nobody, who may do nothing.
type Party uint8

// The parties of a dispute.
const (
	NoParty    Party = 0
	Raiser     Party = 1 // the payer's network: the debtor of the disputed payment
	Respondent Party = 2 // the network that was paid: its creditor
	Operator   Party = 3 // of the switch: rules where the two do not agree
	Clock      Party = 4 // acts for whoever let a deadline pass
)

var partyNames = [...]string{Raiser: "raiser", Respondent: "respondent", Operator: "operator", Clock: "clock"}

// String returns the party's name, "unknown" for a number that is none.
func (p Party) String() string { return orUnknown(nameAt(partyNames[:], uint8(p))) }

// MarshalText writes the name; it refuses what is no party.
func (p Party) MarshalText() ([]byte, error) { return nameText(p.String(), "party") }

// ParseParty reads a party's name, in either case.
func ParseParty(name string) (Party, error) {
	n, err := parseName(partyNames[:], name, "party")
	return Party(n), err
}

// Action is what a party does. The zero Action is none.
type Action uint8

// The actions, each with who takes it.
const (
	NoAction      Action = 0
	Raise         Action = 1  // raiser: there is a dispute
	Accept        Action = 2  // respondent: it is right, the money goes back
	Represent     Action = 3  // respondent: it is not, and here is why
	PreArbitrate  Action = 4  // raiser: it insists
	Arbitrate     Action = 5  // respondent: the operator shall rule
	Withdraw      Action = 6  // raiser: it gives up
	ProposeUphold Action = 7  // operator, first person: the raiser is right
	ProposeReject Action = 8  // operator, first person: it is not
	Approve       Action = 9  // operator, second person: so it is ruled
	Refuse        Action = 10 // operator, second person: think again
	Expire        Action = 11 // clock: the deadline has passed
)

// Actions returns every action but NoAction, in order.
func Actions() []Action {
	return []Action{Raise, Accept, Represent, PreArbitrate, Arbitrate, Withdraw, ProposeUphold, ProposeReject, Approve, Refuse, Expire}
}

var actionNames = [...]string{
	Raise: "raise", Accept: "accept", Represent: "represent", PreArbitrate: "pre-arbitrate", Arbitrate: "arbitrate", Withdraw: "withdraw",
	ProposeUphold: "propose-uphold", ProposeReject: "propose-reject", Approve: "approve", Refuse: "refuse", Expire: "expire",
}

// String returns the action's name, "unknown" for a number that is none.
func (a Action) String() string { return orUnknown(nameAt(actionNames[:], uint8(a))) }

// MarshalText writes the name; it refuses what is no action.
func (a Action) MarshalText() ([]byte, error) { return nameText(a.String(), "action") }

// ParseAction reads an action's name, in either case.
func ParseAction(name string) (Action, error) {
	n, err := parseName(actionNames[:], name, "action")
	return Action(n), err
}

func nameAt(names []string, n uint8) string {
	if int(n) < len(names) {
		return names[n]
	}
	return ""
}

func orUnknown(name string) string {
	if name == "" {
		return "unknown"
	}
	return name
}

func nameText(name, what string) ([]byte, error) {
	if name == "unknown" {
		return nil, &tongma.Error{Op: "dispute", Reason: tongma.FieldInvalid, Detail: "no such " + what}
	}
	return []byte(name), nil
}

func parseName(names []string, name, what string) (uint8, error) {
	for n, known := range names {
		if known != "" && strings.EqualFold(known, name) {
			return uint8(n), nil
		}
	}
	return 0, &tongma.Error{Op: "dispute", Reason: tongma.FieldInvalid, Detail: "no such " + what}
}
