package switching

import (
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// State is where a payment stands, finer than the public Status.
type State uint8

const (
	Received   State = iota // checked and resolved, nothing written
	Held                    // the hold is durable; the scheme is being asked
	Confirming              // the payer is confirming in the wallet
	InDoubt                 // the scheme was asked and has not told us
	Reversing               // it will be undone; a yes no longer counts
	Approved
	Declined
	Reversed
)

var stateNames = [...]string{"received", "held", "confirming", "in-doubt", "reversing", "approved", "declined", "reversed"}

// String returns the name that scripts and traces use.
func (s State) String() string { return stateNames[int(s)%len(stateNames)] }

// Final tells whether only a new request can change the state.
func (s State) Final() bool { return s >= Approved }

// StateOf returns the state that the books show. Held and in doubt leave the
// same entry: after a restart nobody knows whether the scheme was asked, so a
// hold without an answer is in doubt.
func StateOf(p *clearing.Payment) State {
	switch p.Phase {
	case clearing.KindHold:
		return InDoubt
	case clearing.KindPend:
		return Confirming
	case clearing.KindPost:
		return Approved
	case clearing.KindReversing:
		return Reversing
	case clearing.KindReversed, clearing.KindTombstone:
		return Reversed
	}
	return Declined // refused, void, or expired: the hold was dropped and nobody need be told
}

// Event is something that happened to a payment.
type Event uint8

const (
	HoldGranted Event = iota // the hold is in the journal
	Yes                      // the scheme approved
	No                       // the scheme declined, for good
	Waiting                  // the scheme says that the payer is confirming
	Silence                  // no answer, or none that can be read or trusted
	NotSent                  // the question never left: the scheme cannot have acted
	NoRecord                 // the scheme knows nothing of it; it may still be on its way
	TimeUp                   // waited long enough for the payer, or for knowing
	UndoAsked                // the acquirer wants it reversed
	UndoAcked                // the scheme has undone it, or will never do it
)

var eventNames = [...]string{"hold-granted", "yes", "no", "waiting", "silence", "not-sent", "no-record", "time-up", "undo-asked", "undo-acked"}

// String returns the name that scripts use.
func (e Event) String() string { return eventNames[int(e)%len(eventNames)] }

// Action is what the engine does next. Those that write come first in the list
// that Step returns, and are durable before the others are begun.
type Action uint8

const (
	AskScheme  Action = iota // authorise, accept or refund
	Inquire                  // ask what became of it, after a pause
	SendUndo                 // send the reversal, and again until acknowledged
	WritePend                // entry pend
	WritePost                // entry post
	WriteVoid                // entry void
	WriteUndo                // entry reversing
	WriteEnded               // entry reversed
)

var actionNames = [...]string{"ask", "inquire", "send-undo", "write-pend", "write-post", "write-void", "write-reversing", "write-reversed"}

// String returns the name that scripts use.
func (a Action) String() string { return actionNames[int(a)%len(actionNames)] }

// Step returns the state that a payment moves to when e happens, and what the
// engine does next. It reads no clock and no network. An event that says nothing
// new in a state is passed over: a late yes to a payment that is being undone,
// say. An event that cannot happen in a state is an error.
//
// A refund is never undone by the switch: it is the way back already. When its
// outcome is not known, the same question is asked again until it is answered.
func Step(op tongma.Operation, s State, e Event) (State, []Action, error) {
	if op == tongma.OpRefund {
		return stepRefund(s, e)
	}
	switch s {
	case Received:
		if e == HoldGranted {
			return Held, []Action{AskScheme}, nil
		}
	case Held, InDoubt, Confirming:
		return stepHeld(s, e)
	case Approved:
		switch e {
		case UndoAsked:
			return Reversing, []Action{WriteUndo, SendUndo}, nil
		case Yes, Waiting, Silence, NoRecord, TimeUp: // said before, or late
			return Approved, nil, nil
		}
	case Reversing:
		switch e {
		case UndoAcked:
			return Reversed, []Action{WriteEnded}, nil
		case Silence, NotSent, Waiting, NoRecord:
			return Reversing, []Action{SendUndo}, nil
		case Yes, No, UndoAsked, TimeUp:
			return Reversing, nil, nil
		}
	case Declined, Reversed:
		if e != HoldGranted {
			return s, nil, nil
		}
	}
	return s, nil, misstep(s, e)
}

// stepHeld is Step while the payer's amount is held and the scheme has the word.
func stepHeld(s State, e Event) (State, []Action, error) {
	switch e {
	case Yes:
		return Approved, []Action{WritePost}, nil
	case No:
		return Declined, []Action{WriteVoid}, nil
	case UndoAsked, TimeUp:
		return Reversing, []Action{WriteUndo, SendUndo}, nil
	case Waiting:
		if s == Confirming {
			return Confirming, []Action{Inquire}, nil
		}
		return Confirming, []Action{WritePend, Inquire}, nil
	case NotSent:
		if s == Held {
			return Declined, []Action{WriteVoid}, nil
		}
		return s, []Action{Inquire}, nil // the inquiry was not sent: that says nothing about the payment
	case Silence, NoRecord:
		if s == Confirming {
			return Confirming, []Action{Inquire}, nil
		}
		// No record is not a no: the question may still be under way. Only an
		// acknowledged reversal makes sure that it will never be executed.
		return InDoubt, []Action{Inquire}, nil
	}
	return s, nil, misstep(s, e)
}

func stepRefund(s State, e Event) (State, []Action, error) {
	switch {
	case s == Received && e == HoldGranted:
		return Held, []Action{AskScheme}, nil
	case s == Held || s == InDoubt || s == Confirming:
		switch e {
		case Yes:
			return Approved, []Action{WritePost}, nil
		case No:
			return Declined, []Action{WriteVoid}, nil
		case NotSent:
			if s == Held {
				return Declined, []Action{WriteVoid}, nil
			}
			return InDoubt, []Action{AskScheme}, nil
		case Silence, NoRecord, Waiting, TimeUp:
			return InDoubt, []Action{AskScheme}, nil
		case UndoAsked:
			return s, nil, nil
		}
	case s.Final():
		return s, nil, nil
	}
	return s, nil, misstep(s, e)
}

func misstep(s State, e Event) error {
	return &tongma.Error{Op: "switch.Step", Reason: tongma.Internal, Detail: e.String() + " in state " + s.String()}
}
