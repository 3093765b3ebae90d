package settle

import (
	"context"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// Transfer is one movement that the settlement agent is asked for: an instruction
// of a net sheet, or a cover for one who is short. Its ID is the same however often
// it is computed.
type Transfer struct {
	clearing.Instruction
	Model      string // of the window
	ValueDate  uint32 // yyyymmdd; zero: the agent's day
	Prefunding bool   // out of the debtor's prefunding account, not its ordinary one
}

// Outcome is how a transfer stands, as far as the agent has said.
type Outcome uint8

// The outcomes. Only Settled, Partly, Rejected and Unheard are the agent's word on
// the money.
const (
	Unknown  Outcome = iota // no answer, or none that can be understood: money may have moved
	Pending                 // the agent has it and has not decided
	Settled                 // all of it moved, for good
	Partly                  // Amount of it moved, and the rest will not under this id
	Rejected                // nothing moved, and nothing will under this id
	Unheard                 // the agent has never heard of the id; it may still be on its way there
)

// String returns "unknown", "pending", "settled", "partly", "rejected" or "unheard".
func (o Outcome) String() string {
	return [...]string{"unknown", "pending", "settled", "partly", "rejected", "unheard", "unknown", "unknown"}[o&7]
}

// Word is what the agent says about a transfer.
type Word struct {
	Outcome Outcome
	Amount  tongma.Money // Settled, Partly: what moved
	Ref     string       // the agent's own reference
	Text    string       // its reason, as it wrote it; may name accounts: for people, not for logs
	Form    bool         // Rejected: for the message, its date or whom it names; nobody is known to want money
	Err     error        // Unknown: why there is no answer
}

// final tells whether nothing more will be said.
func (w Word) final() bool {
	return w.Outcome == Settled || w.Outcome == Partly || w.Outcome == Rejected
}

// sound is a word about a transfer as far as it makes sense: a part that is all of it
// is all of it; what was moved too much is for reconciliation; and a part of nothing,
// or of another currency, says nothing.
func (w Word) sound(t Transfer) Word {
	switch moved := w.Outcome == Settled || w.Outcome == Partly; {
	case moved && (w.Amount.Currency != t.Amount.Currency || w.Amount.Minor <= 0):
		return Word{Err: &tongma.Error{Op: "settle.agent", Reason: tongma.AgentSilent, Detail: "the agent does not say what it moved"}}
	case moved && w.Amount.Minor >= t.Amount.Minor:
		w.Outcome, w.Amount = Settled, t.Amount
	case moved:
		w.Outcome = Partly
	}
	return w
}

// AtOnce is how many transfers of one window a switch has with the agent at once: as many
// as keep the agent busy and not more than it would be asked by one that is impatient.
const AtOnce = 16

// Agent is a settlement agent. Calls come from several goroutines, though never two
// for one transfer. An answer that does not come within the agent's own deadlines,
// or ctx, is Unknown.
type Agent interface {
	// Move asks for a transfer. The same id again is the same transfer: it moves
	// once, and the answer is how it stands now.
	Move(ctx context.Context, t Transfer) Word
	// Ask asks how a transfer stands, and starts nothing. Amount is what was booked
	// under the id, which may differ from what t says; if t says zero and nobody knows
	// it, the outcome is Unknown.
	Ask(ctx context.Context, t Transfer) Word
}
