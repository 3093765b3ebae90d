package dispute

import (
	"slices"
	"strings"

	"github.com/tongma/tongma"
)

// Who is who acts: a party and, where two people have to agree, which person.
type Who struct {
	Party  Party
	Person string // of the operator; others need none
	Maker  string // who proposed the ruling that waits: the stage's memory, kept by the caller
}

// rule is one move that is allowed. Everything else is not.
type rule struct {
	from   Stage
	party  Party
	action Action
	to     Stage
}

var rules = [...]rule{
	{NoStage, Raiser, Raise, Raised},

	{Raised, Respondent, Accept, Accepted},
	{Raised, Respondent, Represent, Represented},
	{Raised, Raiser, Withdraw, Withdrawn},
	{Raised, Clock, Expire, DeemedAccepted},

	{Represented, Raiser, Withdraw, Withdrawn},
	{Represented, Raiser, PreArbitrate, PreArbitration},
	{Represented, Respondent, Accept, Accepted},
	{Represented, Clock, Expire, DeemedWithdrawn},

	{PreArbitration, Respondent, Accept, Accepted},
	{PreArbitration, Respondent, Arbitrate, Arbitration},
	{PreArbitration, Raiser, Withdraw, Withdrawn},
	{PreArbitration, Clock, Expire, DeemedAccepted},

	{Arbitration, Respondent, Accept, Accepted},
	{Arbitration, Raiser, Withdraw, Withdrawn},
	{Arbitration, Operator, ProposeUphold, UpholdProposed},
	{Arbitration, Operator, ProposeReject, RejectProposed},

	{UpholdProposed, Operator, Approve, Upheld},
	{UpholdProposed, Operator, Refuse, Arbitration},
	{RejectProposed, Operator, Approve, Rejected},
	{RejectProposed, Operator, Refuse, Arbitration},
}

// Next returns the stage that a dispute in stage comes to when who does action at
// now, and what that does to the money. deadline is the stage's own; for Raise, of
// raising. Both are Unix milliseconds; a deadline of zero never passes. The moment
// of the deadline itself is still in time for the parties, and too early for the
// clock.
//
// The reasons, in their order:
//
//	DisputeUnknown  there is no dispute, or the stage is not known
//	DisputeTurn     it is over, or waits for something else or somebody else
//	FieldInvalid    of the operator no person is named, or nobody is said to have proposed
//	MakerIsChecker  who proposed the ruling may not decide on it
//	TooEarly        the clock, and the deadline has not passed
//	DisputeLate     a party, and it has
//
// With an error the stage is the one given, and no money moves.
func Next(stage Stage, who Who, action Action, now, deadline int64) (Stage, Effect, error) {
	refused := func(r tongma.Reason, detail string) (Stage, Effect, error) {
		return stage, Nothing, &tongma.Error{Op: "dispute: " + action.String() + " by " + who.Party.String(), Reason: r, Detail: detail}
	}
	if stage == NoStage && action != Raise {
		return refused(tongma.DisputeUnknown, "")
	}
	if stage != NoStage && !stage.Known() {
		return refused(tongma.DisputeUnknown, "its stage is not known")
	}
	move, ok := find(stage, who.Party, action)
	passed := deadline != 0 && now > deadline
	switch {
	case !ok && stage == NoStage:
		return refused(tongma.DisputeTurn, "only the payer's network raises one")
	case !ok:
		return refused(tongma.DisputeTurn, "it is "+stage.String())
	case who.Party == Operator && strings.TrimSpace(who.Person) == "":
		return refused(tongma.FieldInvalid, "which person rules is not said")
	case checks(action) && strings.TrimSpace(who.Maker) == "":
		return refused(tongma.FieldInvalid, "who proposed the ruling is not said")
	case checks(action) && SamePerson(who.Person, who.Maker):
		return refused(tongma.MakerIsChecker, "")
	case action == Expire && !passed:
		return refused(tongma.TooEarly, "its deadline has not passed")
	case action != Expire && passed && (stage.Timed() || action == Raise):
		return refused(tongma.DisputeLate, "it is "+move.from.lateness())
	}
	return move.to, move.to.Effect(), nil
}

// lateness words what passing the deadline of a stage means.
func (s Stage) lateness() string {
	if s == NoStage {
		return "too long after the payment"
	}
	return s.String() + ", and its deadline has passed"
}

func find(stage Stage, party Party, action Action) (rule, bool) {
	i := slices.IndexFunc(rules[:], func(r rule) bool { return r.from == stage && r.party == party && r.action == action })
	if i < 0 {
		return rule{}, false
	}
	return rules[i], true
}

// checks tells whether the action is a second person's word on a proposed ruling.
func checks(a Action) bool { return a == Approve || a == Refuse }

// SamePerson compares names as people write them: "ann" is not a second person beside
// "Ann ".
func SamePerson(x, y string) bool {
	return strings.EqualFold(strings.TrimSpace(x), strings.TrimSpace(y))
}

// Moves returns what a party may do in a stage, its deadline and the people aside.
func Moves(stage Stage, party Party) []Action {
	var can []Action
	for _, r := range rules {
		if r.from == stage && r.party == party {
			can = append(can, r.action)
		}
	}
	return can
}

// Step returns who takes a dispute from one stage to another, and by what: for
// those who are told the stage reached and not the action. No two moves lead from
// one stage to the same other one.
func Step(from, to Stage) (Party, Action, bool) {
	for _, r := range rules {
		if r.from == from && r.to == to {
			return r.party, r.action, true
		}
	}
	return NoParty, NoAction, false
}
