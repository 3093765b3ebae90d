package clearing

import (
	"github.com/tongma/tongma"
)

// WindowState is how far a clearing window has come.
type WindowState uint8

const (
	WindowOpen       WindowState = iota // payments are posted into it
	WindowClosed                        // its figures are fixed
	WindowInstructed                    // the agent has been told; debits are collected, then credits paid
	WindowSettled                       // every leg is confirmed
)

// String returns "open", "closed", "instructed" or "settled".
func (s WindowState) String() string {
	return [...]string{"open", "closed", "instructed", "settled"}[s&3]
}

// flowKey is one direction between two participants in one currency.
type flowKey struct {
	debtor, creditor uint16
	currency         tongma.Currency
}

type flow struct {
	gross int64
	count int64
	fees  int64 // of gross
}

// window is the entries of [opened, closed) of the journal. Which payments it
// holds is a fact of the journal, never a query on time.
type window struct {
	id                 tongma.WindowID
	state              WindowState
	opened, closed     uint64 // entry numbers
	openedAt, closedAt int64  // Unix milliseconds
	flows              map[flowKey]*flow
	legs               map[accountKey]int64 // not yet confirmed, more than zero pays
	debitLegs          int
	sheet              [32]byte
}

func newWindow(id tongma.WindowID, entry uint64, at int64) *window {
	return &window{id: id, opened: entry, openedAt: at, flows: map[flowKey]*flow{}}
}

func (w *window) flow(k flowKey) *flow {
	f := w.flows[k]
	if f == nil {
		f = &flow{}
		w.flows[k] = f
	}
	return f
}

func (w *window) add(k flowKey, amount int64) {
	f := w.flow(k)
	f.gross += amount
	f.count++
}

func (w *window) addFee(k flowKey, amount int64) {
	f := w.flow(k)
	f.gross += amount
	f.fees += amount
}

func (b *Book) window(id tongma.WindowID) *window {
	if id == 0 || uint64(id) > uint64(len(b.windows)) {
		return nil
	}
	return b.windows[id-1]
}

func (b *Book) proposeWindow(e *Entry) Verdict {
	if e.Kind == KindOpen {
		if len(b.windows) > 0 {
			return Verdict{Exists: true}
		}
		e.Window = 1
		return Verdict{Write: true}
	}
	if e.Kind == KindClose && e.Window == 0 && len(b.windows) > 0 {
		e.Window = b.openWindow().id
	}
	w := b.window(e.Window)
	if w == nil {
		return Verdict{Reason: tongma.WindowUnknown}
	}
	switch e.Kind {
	case KindClose:
		if w.state != WindowOpen {
			return Verdict{Reason: tongma.WindowNotOpen}
		}
	case KindInstruct:
		return b.proposeInstruct(e, w)
	case KindSettle:
		return b.proposeSettle(e, w)
	case KindSettled:
		switch {
		case w.state == WindowSettled:
			return Verdict{Exists: true}
		case w.state != WindowInstructed || len(w.legs) > 0:
			return Verdict{Reason: tongma.StateConflict}
		}
		e.Hash = w.sheet
	}
	return Verdict{Write: true}
}

func (b *Book) proposeInstruct(e *Entry, w *window) Verdict {
	switch {
	case w.state == WindowOpen:
		return Verdict{Reason: tongma.WindowNotClosed}
	case w.state != WindowClosed:
		return Verdict{Exists: true}
	}
	sheet := b.sheet(w)
	if e.Hash != ([32]byte{}) && e.Hash != sheet.Hash {
		return Verdict{Reason: tongma.SheetMismatch}
	}
	e.Hash = sheet.Hash
	return Verdict{Write: true}
}

// leg tells which account a settle entry is about, and the figure it confirms:
// more than zero was paid in by a debtor, less than zero was paid out. It is not
// known if the Book has never heard of the participant.
func (e *Entry) leg(b *Book) (k accountKey, figure int64, known bool) {
	who, figure := e.Debtor, e.Amount.Minor
	if who == "" {
		who, figure = e.Creditor, -e.Amount.Minor
	}
	n, known := b.numbers[string(who)]
	return accountKey{n, e.Amount.Currency}, figure, known
}

func (b *Book) proposeSettle(e *Entry, w *window) Verdict {
	if w.state == WindowOpen || w.state == WindowClosed {
		return Verdict{Reason: tongma.StateConflict}
	}
	if (e.Debtor == "") == (e.Creditor == "") || e.Amount.Minor <= 0 {
		return Verdict{Reason: tongma.FieldInvalid}
	}
	if e.Hash != ([32]byte{}) && e.Hash != w.sheet {
		return Verdict{Reason: tongma.SheetMismatch}
	}
	k, figure, known := e.leg(b)
	due, ok := w.legs[k]
	switch {
	case !known:
		return Verdict{Reason: tongma.SheetMismatch}
	case !ok && b.hadLeg(w, k, figure):
		return Verdict{Exists: true}
	case !ok || due != figure:
		return Verdict{Reason: tongma.SheetMismatch}
	case figure < 0 && w.debitLegs > 0: // debits are collected before any credit is paid
		return Verdict{Reason: tongma.StateConflict}
	}
	return Verdict{Write: true}
}

// Confirmed tells whether the books have the agent's confirmation of in, so that it
// need not be sent again.
func (b *Book) Confirmed(in *Instruction) bool {
	w := b.window(in.Window)
	if w == nil || (w.state != WindowInstructed && w.state != WindowSettled) {
		return false
	}
	e := in.Confirm()
	k, figure, known := e.leg(b)
	_, due := w.legs[k]
	return known && !due && b.hadLeg(w, k, figure)
}

// hadLeg tells whether the sheet had this leg, so that it is confirmed already.
func (b *Book) hadLeg(w *window, k accountKey, figure int64) bool {
	return w.nets()[k] == figure
}

func (b *Book) applyWindow(e *Entry) error {
	if e.Kind == KindOpen {
		if len(b.windows) > 0 {
			return b.broken(e, "a window is open")
		}
		b.windows = append(b.windows, newWindow(1, e.Number, e.Time))
		return nil
	}
	w := b.window(e.Window)
	if w == nil {
		return b.broken(e, "no such window")
	}
	due := map[Kind]WindowState{KindClose: WindowOpen, KindInstruct: WindowClosed, KindSettle: WindowInstructed, KindSettled: WindowInstructed}[e.Kind]
	if w.state != due {
		return b.broken(e, "window is "+w.state.String())
	}
	switch e.Kind {
	case KindClose:
		w.state, w.closed, w.closedAt = WindowClosed, e.Number, e.Time
		b.windows = append(b.windows, newWindow(w.id+1, e.Number, e.Time))
	case KindInstruct:
		b.applyInstruct(e, w)
	case KindSettle:
		return b.applySettle(e, w)
	case KindSettled:
		if len(w.legs) > 0 {
			return b.broken(e, "legs are open")
		}
		w.state = WindowSettled
	}
	return nil
}

func (b *Book) applyInstruct(e *Entry, w *window) {
	w.state, w.sheet, w.legs = WindowInstructed, e.Hash, map[accountKey]int64{}
	for k, net := range w.nets() {
		if net != 0 {
			w.legs[k] = net
		}
		if net > 0 {
			w.debitLegs++
		}
	}
}

func (b *Book) applySettle(e *Entry, w *window) error {
	k, figure, known := e.leg(b)
	if due, ok := w.legs[k]; !known || !ok || due != figure || (figure < 0 && w.debitLegs > 0) {
		return b.broken(e, "leg is not due")
	}
	if figure > 0 {
		w.debitLegs--
	}
	delete(w.legs, k)
	b.accounts[k].position -= figure
	return nil
}
