package recon

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/tongma/tongma"
)

// Kind says in what way two sides differ. Numbers are given once and never
// reused; the names are those of reports and files.
type Kind uint8

const (
	KindNone           Kind = 0
	MissingAtScheme    Kind = 1  // the journal moved money that the participant's file does not have
	MissingAtSwitch    Kind = 2  // the file has a movement that the journal does not know
	Amount             Kind = 3  // same movement, other amount
	Currency           Kind = 4  // same movement or leg, other currency
	Status             Kind = 5  // one side says that money moved, the other that it did not
	Duplicate          Kind = 6  // the file reports one movement more than once
	Window             Kind = 7  // same movement, other window
	Fee                Kind = 8  // same movement, other fee
	UnknownParticipant Kind = 9  // the file speaks for somebody it does not cover
	UnpaidNet          Kind = 20 // the bank has no entry for an instruction that is due
	Partial            Kind = 21 // the entries of an instruction come to less than it
	Overpaid           Kind = 22 // the entries of an instruction come to more than it
	UnexpectedEntry    Kind = 23 // an entry of the bank that belongs to no instruction
	LateValueDate      Kind = 24 // paid, but with a value date after the settlement date
	Balance            Kind = 25 // opening balance and entries do not come to the closing balance
)

var kindNames = map[Kind]string{
	MissingAtScheme: "MISSING_AT_SCHEME", MissingAtSwitch: "MISSING_AT_SWITCH", Amount: "AMOUNT", Currency: "CURRENCY",
	Status: "STATUS", Duplicate: "DUPLICATE", Window: "WINDOW", Fee: "FEE", UnknownParticipant: "UNKNOWN_PARTICIPANT",
	UnpaidNet: "UNPAID_NET", Partial: "PARTIAL", Overpaid: "OVERPAID", UnexpectedEntry: "UNEXPECTED_ENTRY",
	LateValueDate: "LATE_VALUE_DATE", Balance: "BALANCE",
}

// String returns the name that reports use, or "NONE".
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return "NONE"
}

// MarshalText writes the name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the name; any other is refused.
func (k *Kind) UnmarshalText(text []byte) error {
	for kind, name := range kindNames {
		if name == string(text) {
			*k = kind
			return nil
		}
	}
	return &tongma.Error{Op: "recon: kind", Reason: tongma.FieldInvalid, Detail: "no such kind of break"}
}

// Owner is who has to explain a break first.
type Owner string

const (
	OwnerSwitch      Owner = "switch"
	OwnerParticipant Owner = "participant"
	OwnerAgent       Owner = "agent" // the settlement agent
)

// Movement says which movement of money a break is about. A payment moves money
// once, and a second time the other way if it is turned back.
type Movement string

const (
	MovePayment  Movement = "payment"  // the payment, transfer or refund itself
	MoveReversal Movement = "reversal" // its turning back
	MoveLeg      Movement = "leg"      // one instruction to the settlement agent
	MoveEntry    Movement = "entry"    // one entry at the settlement agent
	MoveAccount  Movement = "account"  // the account there
)

// Source is where a break was found: which input, by the SHA-256 of its bytes,
// and the line or the ordinal of the entry in it, from 1. Line zero is the input
// as a whole. It is no part of a break's identity: the same difference in a file
// that was sent again is the same break.
type Source struct {
	Hash string `json:"hash"`
	Line int    `json:"line,omitempty"`
}

// Break is one difference between two sides. It is found once and never edited;
// what ends it is its Resolution.
type Break struct {
	ID          string               `json:"id"` // follows from the content, see Identity
	Kind        Kind                 `json:"kind"`
	Side        string               `json:"side"`             // "file:SENDER" or "bank"
	Window      tongma.WindowID      `json:"window,omitempty"` // that was reconciled; of the leg, at the bank; zero for what belongs to none
	Owner       Owner                `json:"owner"`
	Participant tongma.ParticipantID `json:"participant,omitempty"`
	Payment     tongma.PaymentID     `json:"payment,omitzero"`
	Movement    Movement             `json:"movement"`
	Ref         string               `json:"ref,omitempty"`      // the scheme's reference, the instruction's id, or the bank's reference
	Expected    string               `json:"expected"`           // what the journal, or the instruction, says
	Found       string               `json:"found"`              // what the other side says
	AtRisk      tongma.Money         `json:"at_risk"`            // how much money the difference is about; never less than zero
	Other       tongma.WindowID      `json:"other,omitempty"`    // WINDOW: the window that the journal has the movement in
	Twin        int                  `json:"twin,omitempty"`     // second, third, ... of the same content: 1, 2, ...
	Again       int                  `json:"again,omitempty"`    // found again after it had gone: 1, 2, ...
	Replaces    string               `json:"replaces,omitempty"` // the break on the same subject whose place it took
	FirstSeen   time.Time            `json:"first_seen"`         // of this break, or of the ones that it replaces
	Source      Source               `json:"source,omitzero"`
	Proposal    string               `json:"proposal,omitempty"` // what a person may want to look at; nothing acts on it
	Resolution  *Resolution          `json:"resolution,omitempty"`
}

// How tells what ended a break.
type How string

const (
	ByPerson   How = "person"   // somebody gave an entry or a reason
	ByPair     How = "pair"     // the movement turned up in another window
	ByLaterRun How = "laterrun" // a later file or statement no longer has the difference
)

// Resolution is what ended a break. Once given it stays.
type Resolution struct {
	How    How       `json:"how"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`              // who: a person, or "register"
	Entry  uint64    `json:"entry,omitempty"` // the journal entry that put it right; zero if none was needed
	Pair   string    `json:"pair,omitempty"`  // the other break of a pair
	Reason string    `json:"reason"`
}

// Open tells whether nothing has ended the break.
func (b *Break) Open() bool { return b.Resolution == nil }

// Age is how long the break has been open at asOf, or was open until it ended.
// It is never less than zero.
func (b *Break) Age(asOf time.Time) time.Duration {
	if b.Resolution != nil && b.Resolution.At.Before(asOf) {
		asOf = b.Resolution.At
	}
	return max(0, asOf.Sub(b.FirstSeen))
}

// Identity is "brk_" and the first 16 bytes, in hexadecimal, of the SHA-256 of
// the content as lines of text: kind, side, window, participant, payment,
// movement, reference, expected, found, at risk, other window, twin, again. Neither the
// line of a file nor the time of a run is in it, so a file that is run again, or
// sent again in another order, finds the same breaks.
func (b *Break) Identity() string {
	text := fmt.Appendf(nil, "tongma break 1\n%s\n%s\n%d\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%d\n%d\n%d\n", b.Kind, b.Side, b.Window,
		b.Participant, b.Payment, b.Movement, b.Ref, b.Expected, b.Found, b.AtRisk, b.Other, b.Twin, b.Again)
	sum := sha256.Sum256(text)
	return "brk_" + hex.EncodeToString(sum[:16])
}

// subject is what a break is about, whatever its kind: breaks that follow each
// other on one subject share their age.
type subject struct {
	side        string
	window      tongma.WindowID
	participant tongma.ParticipantID
	payment     tongma.PaymentID
	movement    Movement
	ref         string
}

func (b *Break) subject() subject {
	s := subject{b.Side, b.Window, b.Participant, b.Payment, b.Movement, b.Ref}
	if !b.Payment.IsZero() {
		s.ref = ""
	}
	return s
}
